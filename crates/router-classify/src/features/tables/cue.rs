//! Cues: what a question says about the answer wanted, whatever it is about.

macro_rules! cues {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),+ $(,)?) => {
        /// What a question says about the answer wanted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Cue { $($(#[$doc])* $variant),+ }

        impl Cue {
            /// Every cue, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its name in the features.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

cues! {
    /// Interrogatives.
    Question = "question",
    /// How many, how much.
    HowMany = "how_many",
    /// Conditions the answer must meet.
    Constraint = "constraint",
    /// Several steps.
    Step = "step",
    /// A proof or derivation.
    Proof = "proof",
    /// Design, trade-offs, concurrency, optimality: what is hard at any length.
    Depth = "depth",
    /// A long answer.
    Detail = "detail",
    /// A short answer.
    Brief = "brief",
    /// Only a label, letter or number.
    OnlyAnswer = "only_answer",
    /// Something to be done in the world, with a tool.
    Action = "action",
    /// A format for machines.
    Format = "format",
}

pub(in crate::features) const CUES: &[(Cue, f32, &str)] = &[
    (
        Cue::Question,
        1.0,
        "what|who|whom|whose|when|where|which|why|how|was|wer|wann|wo|warum|wie|welche*|que|qui|quand|ou|\
        pourquoi|comment|quel|quelle|quels|quelles|quien|cuando|donde|como|cual|cuales|por que|chi|\
        quando|dove|perche|quale|quem|onde|qual|wat|waar|wanneer|waarom|hoe|co|kto|gdzie|kiedy|dlaczego|\
        jak|jaka|jaki|что|кто|где|когда|почему|как|какой|какая|какие|vad|vem|var|nar|hur|ne|kim|nerede|\
        neden|nasil|什么|谁|哪|为什么|怎么|几|何|誰|どこ|いつ|なぜ|どう|무엇|누가|누구|어디|언제|왜|어떻게|ما|من|أين|متى|*لماذا*|كيف",
    ),
    (
        Cue::HowMany,
        1.0,
        "how many|how much|how far|how old|how long will|how long does it take|how fast|what percent*|\
        what fraction|in total|altogether|wie viel*|wieviel*|combien|cuanto|cuantos|cuanta|cuantas|\
        quanti|quante|quanto|quantos|quantas|hoeveel|ile|сколько|hur manga|kac|多少|いくつ|何個|何人|몇|كم",
    ),
    (
        Cue::Constraint,
        1.0,
        "must|must not|exactly|at least|at most|no more than|no less than|do not|don't|never|\
        without using|without|ensure|make sure|strictly|required|requirement*|constraint*|should|only|\
        valid json|schema|conform*|each of|every|backward* compatib*|handle all|edge case*|muss|mussen|\
        genau|mindestens|hochstens|keine|nur|ohne|sicherstellen|doit|doivent|exactement|au moins|\
        au plus|sans|uniquement|obligatoire*|debe|deben|exactamente|al menos|como maximo|sin|solo|\
        asegur*|deve|devono|esattamente|almeno|senza|devem|pelo menos|sem|moet|precies|minstens|должен|\
        должны|ровно|не менее|не более|без|必须|不要|至少|不超过|确保|必ず|以内|以上|なければ|반드시|이상|이하",
    ),
    (
        Cue::Step,
        1.0,
        "step by step|step-by-step|first|second|third|then|next|after that|finally|afterwards|multi-step|\
        stage*|phase*|schritt fur schritt|zuerst|danach|schliesslich|anschliessend|etape par etape|\
        d'abord|ensuite|enfin|puis|paso a paso|primero|luego|despues|finalmente|passo dopo passo|\
        passo a passo|prima|poi|infine|stap voor stap|по шагам|пошагово|сначала|затем|наконец|一步一步|逐步|\
        首先|然后|最后|ステップ|まず|次に|最後に|단계별|먼저|그 다음",
    ),
    (
        Cue::Proof,
        1.0,
        "prove|proof|prove that|show that|derive|derivation|theorem|lemma|by induction|rigorous*|qed|\
        if and only if|beweis*|zeige, dass|herleit*|satz von|demontr*|montrer que|montrez que|demuestr*|\
        dimostra*|demonstr*|bewijs*|udowodnij|докаж*|доказа*|теорем*|证明|定理|証明|증명|ispatla|*برهن*",
    ),
    (
        Cue::Depth,
        1.0,
        "trade-off*|tradeoff*|architecture|distributed|concurren*|thread-safe|thread safe|\
        race condition*|deadlock*|lock-free|optimal|optimi*|time complexity|space complexity|o(n*|\
        scalab*|fault toleran*|consensus|consistency|root cause*|pros and cons|implications|critically|\
        evaluate|strateg*|memory-safe|zero-copy|latency|throughput|performance|invariant*|formal*|\
        asymptotic*|eigen*|differential equation*|hypothes*|abwag*|architektur|nebenlauf*|analysez|\
        analyser en|optimier*|optimis*|optimiz*|arquitectura|concurrenc*|архитектур*|оптимиз*|架构|并发|优化|\
        分布式|設計|最適|並行|아키텍처|최적화|동시성",
    ),
    (
        Cue::Detail,
        1.0,
        "in detail|detailed|comprehensive|thorough*|in depth|in-depth|long|extensive*|full|complete|\
        elaborate|everything|ausfuhrlich*|detailliert*|umfassend*|vollstandig*|en detail|detaille*|\
        complet|complete*|approfondi*|detallad*|completo|completa|exhaustiv*|dettagliat*|approfondit*|\
        detalhad*|uitgebreid*|gedetailleerd*|szczegolow*|подробн*|полн*|detaljerad*|ayrintili|详细|全面|詳しく|\
        詳細|자세히|상세|*بالتفصيل*",
    ),
    (
        Cue::Brief,
        1.0,
        "brief|briefly|short|shortly|concise*|in short|in a nutshell|quick|quickly|simple|tl;dr|kurz|\
        kurze*|knapp|bref|brievement|court|courte|en resume|succinct*|breve|brevemente|corto|corta|\
        conciso|resumid*|curto|curta|kort|krotko|кратко|коротк*|kisa|kisaca|简短|简要|简洁|短く|簡潔|簡単|짧게|간단|\
        *باختصار*",
    ),
    (
        Cue::OnlyAnswer,
        1.0,
        "only the answer|just the answer|answer only|only answer|yes or no|true or false|one word|\
        single word|only the letter|just the letter|only the number|just the number|respond with only|\
        reply with only|only respond|answer with just|one letter|correct option|which of the following|\
        nur die antwort|ja oder nein|ein wort|uniquement la reponse|oui ou non|un mot|solo la respuesta|\
        si o no|una palabra|sim ou nao|да или нет|одним словом|只回答|是或否|はいかいいえ|答えだけ",
    ),
    (
        Cue::Action,
        1.0,
        "^book|^schedule|^order|^buy|^cancel|^send|^email|^call|^text|^remind me|remind me to|\
        set a reminder|set an alarm|set a timer|^turn on|^turn off|^play|^open|^delete|^search|\
        search for|search the web|look up|^find me|^check|check my|add it to|add to my|^add|^run|\
        run the|^fetch|^get the|^upload|^download|^create an event|create a ticket|^transfer|^pay|\
        what's the weather|weather in|weather like|current price|current weather|latest news|right now|\
        ^buche|^reservier*|^sende|^schicke|erinnere mich|^stelle|wetter in|^suche|^reserve|^reserver|\
        ^envoie|envoyer un|rappelle-moi|^cherche|meteo|^reserva|^envia|recuerdame|^busca|el tiempo en|\
        ^prenota|^invia|^cerca|^agende|^envie|lembre-me|^boek|^stuur|забронируй|отправь|напомни|найди|\
        погода|预订|发送|提醒我|天气|搜索|予約して|送って|天気|検索して|예약해|보내|날씨|알려줘",
    ),
    (
        Cue::Format,
        1.0,
        "json|yaml|csv|xml|toml|markdown table|as a table|in a table|key-value|tabelle|tableau|tabla|\
        tabella|tabela|таблиц*|表格",
    ),
];
