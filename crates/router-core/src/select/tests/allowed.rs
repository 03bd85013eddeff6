//! The allowed set: whose limit speaks against whom, and, for any configuration and request, that nothing outside the
//! intersection of all limits stands in a plan.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::testing::{compiled, input_on, plan};
use super::{check, word};
use crate::compiled::DeploymentIdx;
use crate::select::{decide, may_ask, may_be_allowed};

const FLEET: &str = "a/x region=eu in=1
    a/y region=us in=2
    b/x region=eu in=3
    c/z in=4
    private b
    tier t a/y c/z
    model m a/x a/y b/x allow_regions=eu fallbacks=n
    model n c/z b/x a/y allow_providers=b,C-host
    model k a/x b/x
    set default_tier=t";

#[test]
fn each_limit_is_named_and_all_of_them_hold() {
    check(
        FLEET,
        &[
            (
                "model=m",
                "a/x b/x; a/y region_not_allowed (it runs in us, outside the model's regions); c/z region_not_allowed (where it runs is not known, the model's regions are limited)",
            ),
            ("model=n", "b/x c/z; a/y not_allowed (not among the model's providers)"),
            (
                "model=k fallbacks=n",
                "a/x b/x c/z; a/y not_allowed (not among the fallback model's providers)",
            ),
            (
                "model=k fallbacks=a/y allow_providers=A",
                "a/x a/y; b/x not_allowed (not among the request's providers)",
            ),
            (
                "model=k fallbacks=n allow_models=t,x",
                "a/x b/x c/z; a/y not_allowed (not among the fallback model's providers)",
            ),
            (
                "model=k fallbacks=n allow_models=t",
                "c/z; a/x not_allowed (not among the request's models); a/y not_allowed (not among the fallback model's providers); b/x not_allowed (not among the request's models)",
            ),
            ("model=k key_providers=b", "b/x; a/x not_allowed (not among the key's providers)"),
            ("model=k key=x", "a/x b/x"),
            ("model=k key=b", "b/x; a/x not_allowed (not among the key's models)"),
            (
                "model=k key=auto allow_models=nobody",
                "; a/x not_allowed (not among the request's models); b/x not_allowed (not among the request's models)",
            ),
        ],
    );
}

#[test]
fn what_openrouters_provider_object_says_is_a_limit_too() {
    check(
        FLEET,
        &[
            ("model=k only=b", "b/x; a/x not_allowed (not among the request's provider.only)"),
            ("model=k only=B-HOST", "b/x; a/x not_allowed (not among the request's provider.only)"),
            ("model=k ignore=a", "b/x; a/x not_allowed (among the request's provider.ignore)"),
            (
                "model=k fallbacks=a/y collect=deny",
                "b/x; a/x not_allowed (not known to collect no data); a/y not_allowed (not known to collect no data)",
            ),
            ("model=k collect=allow", "a/x b/x"),
            ("model=k order=b", "b/x a/x"),
            ("model=k order=b b/x:open", "a/x | b/x; b/x breaker_open (open)"),
            ("model=k order=b order_only", "b/x; a/x not_allowed (not among the request's provider.order)"),
            ("model=k order_only", "a/x"),
            ("model=n order=c,b", "c/z b/x; a/y not_allowed (not among the model's providers)"),
            (
                "model=k max_price=1/1",
                "a/x; b/x over_cost_ceiling (3 USD per million input tokens, at most 1)",
            ),
        ],
    );
}

#[test]
fn a_dearest_price_is_compared_with_what_is_paid() {
    check(
        "a/x in=2 out=8 factor=.5 fee=1\n b/y in=1 out=5\n c/z unpriced\n d/u in=1 out=4.01 fee=0.5",
        &[
            (
                "max_price=1/4/0.5",
                "a/x; b/y over_cost_ceiling (5 USD per million output tokens, at most 4); c/z unpriced; d/u over_cost_ceiling (4.01 USD per million output tokens, at most 4)",
            ),
            (
                "max_price=1/5/0.49",
                "b/y; a/x over_cost_ceiling (0.5 USD per call, at most 0.49); c/z unpriced; d/u over_cost_ceiling (0.5 USD per call, at most 0.49)",
            ),
            (
                "max_price=0.9",
                "; a/x over_cost_ceiling (1 USD per million input tokens, at most 0.9); b/y over_cost_ceiling (1 USD per million input tokens, at most 0.9); c/z unpriced; d/u over_cost_ceiling (1 USD per million input tokens, at most 0.9)",
            ),
        ],
    );
}

#[test]
fn simulated_ones_never_stand_in_for_real_ones() {
    check(
        "a/x region=eu\n s/s simulated\n tier off\n model gone fallbacks=s/s\n model m a/x fallbacks=s/s
         model fake s/s fallbacks=a/x\n rule r when={\"max_tokens\":{\"const\":1}} tier=off fallbacks=s/s",
        &[
            ("model=m", "a/x; s/s simulated"),
            (
                "model=m allow_regions=us",
                "; a/x region_not_allowed (it runs in eu, outside the request's regions); s/s simulated",
            ),
            ("model=gone", "; s/s simulated"),
            ("model=auto max_tokens=1", "; s/s simulated"),
            ("model=fake", "s/s a/x"),
            ("model=s/s", "s/s"),
        ],
    );
    check("s/s simulated\n model gone fallbacks=s/s", &[("model=gone", "s/s")]);
}

#[test]
fn what_a_name_allows_may_also_be_asked_for() {
    let compiled = compiled(FLEET);
    for (name, listed, expected) in [
        ("a/x", "x", true),
        ("a/y", "x", false),
        ("b/x", "b-host", true),
        ("k", "x", false),
        ("auto", "t", true),
    ] {
        assert_eq!(may_ask(&compiled, name, &[listed.to_owned()]), expected, "{name} with {listed}");
    }
    for (name, expected) in
        [("t", true), ("z", true), ("A", true), ("c-host", true), ("auto", true), ("q", false)]
    {
        assert_eq!(may_be_allowed(&compiled, name), expected, "{name}");
    }
}

/// Deployments of the random configurations, with what holds for each: id, region, simulated.
const IDS: [(&str, &str, bool); 7] = [
    ("p/one", "eu", false),
    ("p/two", "us", false),
    ("q/one", "eu", false),
    ("q/two", "", false),
    ("r/one", "us", false),
    ("s/one", "eu", true),
    ("s/sim", "", true),
];
/// Names that a list of those allowed may hold.
const NAMES: [&str; 13] =
    ["auto", "m0", "m1", "m2", "t", "p/one", "q/two", "s/sim", "one", "two", "q", "P", "nobody"];

fn some(of: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<&'static str>> {
    prop_oneof![2 => Just(Vec::new()), 3 => prop::sample::subsequence(of, 0..=most)]
}

#[derive(Clone, Debug)]
struct Lists {
    models: Vec<&'static str>,
    providers: Vec<&'static str>,
    regions: Vec<&'static str>,
}

prop_compose! {
    fn lists()(
        models in some(&NAMES, 4),
        providers in some(&["p", "Q", "r-host", "s", "nobody"], 3),
        regions in some(&["eu", "us"], 2),
    ) -> Lists {
        Lists { models, providers, regions }
    }
}

#[derive(Clone, Debug)]
struct OwnModel {
    members: Vec<&'static str>,
    fallbacks: Vec<&'static str>,
    too_long: Vec<&'static str>,
    filtered: Vec<&'static str>,
    allow: Lists,
    by_rules: bool,
}

prop_compose! {
    fn own_model()(
        members in prop::sample::subsequence(IDS.map(|(id, ..)| id).to_vec(), 0..=4),
        fallbacks in some(&["auto", "m0", "m1", "m2", "p/two", "s/sim"], 2),
        too_long in some(&["m0", "m2", "q/two"], 2), filtered in some(&["auto", "m1", "s/one"], 2),
        allow in lists(), by_rules in prop::bool::weighted(0.2),
    ) -> OwnModel {
        OwnModel { by_rules: by_rules && !members.is_empty(), members, fallbacks, too_long, filtered, allow }
    }
}

#[derive(Clone, Debug)]
struct Case {
    models: Vec<OwnModel>,
    tier: Vec<&'static str>,
    private: Vec<&'static str>,
    asked: &'static str,
    fallbacks: Vec<&'static str>,
    no_fallbacks: bool,
    key: Lists,
    request: Lists,
    regions: Vec<&'static str>,
    only: Vec<&'static str>,
    ignore: Vec<&'static str>,
    order: Vec<&'static str>,
    order_only: bool,
    deny: bool,
    board: Vec<(&'static str, &'static str)>,
}

prop_compose! {
    fn case()(
        models in prop::collection::vec(own_model(), 3),
        tier in prop::sample::subsequence(IDS.map(|(id, ..)| id).to_vec(), 0..=5),
        private in some(&["p", "q", "s"], 2),
        asked in word(&["auto", "m0", "m1", "m2", "p/one", "q/two", "s/sim"]),
        fallbacks in some(&["auto", "m0", "m1", "r/one", "s/one"], 3),
        no_fallbacks in prop::bool::weighted(0.1),
        (key, request) in (lists(), lists()),
        (regions, only, ignore, order) in (some(&["eu", "us"], 1), some(&["p", "q-host", "S"], 2), some(&["p", "R"], 1), some(&["q", "r"], 2)),
        (order_only, deny) in (prop::bool::weighted(0.1), prop::bool::weighted(0.2)),
        board in prop::collection::vec((prop::sample::select(IDS.map(|(id, ..)| id).to_vec()), word(&["open", "suspect", "full", "rate"])), 0..4),
    ) -> Case {
        Case { models, tier, private, asked, fallbacks, no_fallbacks, key, request, regions, only, ignore, order, order_only, deny, board }
    }
}

impl Case {
    fn script(&self) -> String {
        let mut script: Vec<String> = IDS
            .iter()
            .map(|(id, region, simulated)| {
                let region = if region.is_empty() { String::new() } else { format!(" region={region}") };
                format!("{id}{region}{}", if *simulated { " simulated" } else { "" })
            })
            .collect();
        script.push(format!("private {}", self.private.join(" ")));
        script.push(format!("tier t {}", self.tier.join(" ")));
        for (at, model) in self.models.iter().enumerate() {
            let Lists { models, providers, regions } = &model.allow;
            script.push(format!(
                "model m{at} {} fallbacks={} too_long={} filtered={} allow_models={} allow_providers={} allow_regions={}{}",
                model.members.join(" "),
                model.fallbacks.join(","),
                model.too_long.join(","),
                model.filtered.join(","),
                models.join(","),
                providers.join(","),
                regions.join(","),
                if model.by_rules { " rules" } else { "" },
            ));
        }
        script.push("set default_tier=t".to_owned());
        script.join("\n")
    }

    fn request(&self) -> String {
        let mut words = vec![format!("model={}", self.asked)];
        let mut list = |name: &str, of: &[&str]| words.push(format!("{name}={}", of.join(",")));
        list("fallbacks", &self.fallbacks);
        list("key", &self.key.models);
        list("key_providers", &self.key.providers);
        list("key_regions", &self.key.regions);
        list("allow_models", &self.request.models);
        list("allow_providers", &self.request.providers);
        list("allow_regions", &self.request.regions);
        list("regions", &self.regions);
        list("only", &self.only);
        list("ignore", &self.ignore);
        list("order", &self.order);
        words.extend(self.no_fallbacks.then(|| "allow_fallbacks=false".to_owned()));
        words.extend(self.order_only.then(|| "order_only".to_owned()));
        words.extend(self.deny.then(|| "collect=deny".to_owned()));
        words.extend(self.board.iter().map(|(id, state)| format!("{id}:{state}")));
        words.join(" ")
    }

    /// Every name under which a deployment may be allowed.
    fn names_of(&self, id: &str) -> BTreeSet<String> {
        let (provider, model) = id.split_once('/').unwrap();
        let mut names = BTreeSet::from(["auto", id, model, provider].map(str::to_owned));
        names.insert(provider.to_uppercase());
        names.extend(self.tier.contains(&id).then(|| "t".to_owned()));
        for (at, own) in self.models.iter().enumerate() {
            names.extend(own.members.contains(&id).then(|| format!("m{at}")));
        }
        names
    }

    fn model(&self, name: &str) -> Option<&OwnModel> {
        name.strip_prefix('m').and_then(|at| self.models.get(at.parse::<usize>().ok()?))
    }

    /// What a name asked for stands for: at most.
    fn stands_for(&self, name: &str) -> Vec<&str> {
        match self.model(name) {
            Some(model) => model.members.clone(),
            None if name == "auto" => self.tier.clone(),
            None => vec![IDS.iter().find(|(id, ..)| *id == name).unwrap().0],
        }
    }

    fn passes(&self, lists: &Lists, id: &str) -> bool {
        let names = self.names_of(id);
        let region = IDS.iter().find(|(own, ..)| *own == id).unwrap().1;
        (lists.models.is_empty() || lists.models.iter().any(|name| names.contains(*name)))
            && (lists.providers.is_empty() || of_any(&lists.providers, id))
            && (lists.regions.is_empty() || lists.regions.contains(&region))
    }

    fn only_one(&self) -> bool {
        self.no_fallbacks || (self.order_only && self.order.is_empty())
    }

    /// The names by which a deployment may come into the plan.
    fn ways(&self) -> Vec<&str> {
        let mut ways = vec![self.asked];
        if !self.only_one() {
            ways.extend(&self.fallbacks);
            ways.extend(self.model(self.asked).iter().flat_map(|own| &own.fallbacks));
        }
        ways
    }

    /// The names by which it may be kept for some kind of failure.
    fn kept(&self, of: impl Fn(&OwnModel) -> &Vec<&'static str>) -> Vec<&str> {
        self.model(self.asked).filter(|_| !self.only_one()).map(|own| of(own).clone()).unwrap_or_default()
    }

    /// Whether a deployment may answer by one of these names, thought through afresh, limit by limit.
    fn may_answer(&self, id: &str, ways: &[&str]) -> bool {
        let own = self.model(self.asked);
        let by_some_way = ways.iter().any(|way| {
            self.stands_for(way).contains(&id)
                && self.model(way).is_none_or(|model| self.passes(&model.allow, id))
        });
        let simulated = |id: &str| IDS.iter().any(|(own, _, simulated)| *own == id && *simulated);
        let asked_for = self.stands_for(self.asked);
        let only_simulated = !asked_for.is_empty() && asked_for.iter().all(|id| simulated(id));
        let (provider, _) = id.split_once('/').unwrap();
        by_some_way
            && own.is_none_or(|own| self.passes(&own.allow, id))
            && self.passes(&self.key, id)
            && self.passes(&self.request, id)
            && self.passes(
                &Lists { models: vec![], providers: self.only.clone(), regions: self.regions.clone() },
                id,
            )
            && !of_any(&self.ignore, id)
            && (!self.order_only || self.order.is_empty() || of_any(&self.order, id))
            && (!self.deny || self.private.contains(&provider))
            && (!simulated(id) || only_simulated)
    }
}

/// Whether a deployment is of one of these providers, which may be meant by their host.
fn of_any(providers: &[&str], id: &str) -> bool {
    let (provider, _) = id.split_once('/').unwrap();
    providers.iter().any(|name| name.to_lowercase().trim_end_matches("-host") == provider)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn nothing_outside_the_intersection_of_all_limits_stands_in_a_plan(case in case()) {
        let compiled = compiled(&case.script());
        let input = input_on(&case.request(), Some(&compiled));
        let decision = decide(&compiled, &input);
        let stands: BTreeSet<&str> = decision.plan.iter().map(|idx| &*compiled.deployment(idx).id).collect();
        let those = |ways: &[&str]| -> BTreeSet<&str> {
            IDS.iter().map(|(id, ..)| *id).filter(|id| case.may_answer(id, ways)).collect()
        };
        let ids = |all: &[DeploymentIdx]| -> BTreeSet<String> {
            all.iter().map(|idx| compiled.deployment(*idx).id.to_string()).collect()
        };
        for (kept, ways) in [
            (&decision.plan.after_too_long, case.kept(|own| &own.too_long)),
            (&decision.plan.after_filtered, case.kept(|own| &own.filtered)),
        ] {
            prop_assert_eq!(ids(kept), those(&ways).into_iter().map(str::to_owned).collect::<BTreeSet<_>>());
        }
        let may = those(&case.ways());
        prop_assert!(stands.is_subset(&may), "{} of {may:?}", plan(&compiled, &decision.plan));
        // Nor does a limit take away more than it says.
        prop_assert!(case.only_one() || stands == may, "{} of {may:?}", plan(&compiled, &decision.plan));
        prop_assert_eq!(stands.is_empty(), may.is_empty());
    }
}
