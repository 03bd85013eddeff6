//! Models as the world knows them: prices, windows and capabilities per provider and model (`config/catalog.yaml`).
