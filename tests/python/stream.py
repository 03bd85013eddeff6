"""Asks one chat question as a stream with the official SDK, and prints what came of it as one JSON object.

Arguments: the base URL, the model, and whether usage is wanted (`usage` or `plain`).
"""

import json
import sys

import openai


def main():
    base_url, model, wanted = sys.argv[1:]
    client = openai.OpenAI(base_url=base_url, api_key="sk-client-secret", max_retries=0, timeout=120)
    options = {"stream_options": {"include_usage": True}} if wanted == "usage" else {}
    messages = [{"role": "user", "content": "say twelve words"}]
    said = {"text": "", "finish": [], "usage": None, "router": None, "kinds": []}
    with client.chat.completions.create(model=model, messages=messages, stream=True, **options) as stream:
        for chunk in stream:
            said["kinds"].append(type(chunk).__name__)
            said["router"] = (chunk.model_extra or {}).get("router", said["router"])
            said["usage"] = chunk.usage.model_dump() if chunk.usage else said["usage"]
            for choice in chunk.choices:
                said["text"] += choice.delta.content or ""
                said["finish"] += [choice.finish_reason] if choice.finish_reason else []
    print(json.dumps(said), flush=True)


main()
