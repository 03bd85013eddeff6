//! Terms that say what is to be done.

use router_core::attributes::Task;

pub(in crate::features) const TASKS: &[(Task, f32, &str)] = &[
    // Code: languages and tools by name, then what is done with code.
    (
        Task::Code,
        5.0,
        "write a function|write a program|write a script|python function|function that|a function to|\
        function to find|function which",
    ),
    (
        Task::Code,
        3.0,
        "python|javascript|typescript|kotlin|golang|c++|c#|php|sql|postgresql|mysql|sqlite|regex|regexp|\
        regular expression*|powershell|bash|shell script|dockerfile|docker compose|kubernetes|terraform|\
        react|vue|angular|node.js|django|flask|fastapi|numpy|pandas|pytest|unit test*|integration test*|\
        stack trace|stacktrace|traceback|segfault|segmentation fault|compile error|compiler error|\
        type error|typeerror|nullpointerexception|syntax error|refactor*|code review|pull request|\
        merge conflict|git rebase|git commit|cargo|webpack|graphql|rest api|codebase|source code|\
        a class that|method that|binary search|linked list|binary tree|hash map|data structure*|\
        leetcode|html|css|tailwind|borrow checker|lifetimes|fizzbuzz|null pointer|race condition|\
        memory leak|def f(|spring boot|ruby on rails|haskell|scala|clojure|assembly code|cuda kernel|\
        vba|apps script|gcc|makefile|postgres|dynamodb|mongodb|redis|kafka|node app|express.js|laravel|\
        rails|jquery|svelte|next.js|flutter|pytorch|tensorflow|matplotlib|selenium|cron job|yaml file|\
        environment variable*|pagination|re-render*|middleware|docker|docker-compose|kubectl|nginx|git|\
        github|sqlalchemy|dataclass|enum|typedef|pointer|stdin|stdout|exit code|exit-code|console.log|\
        docker-container|requete sql|consulta sql|sql-abfrage|sql-запрос*|исключени*|scripting|\
        web scraper|scraper|chatbot in|backend|frontend|microservice",
    ),
    (
        Task::Code,
        2.0,
        "java|*.py|*.js|*.ts|*.rs|*.go|*.java|*.cpp|the variable|endpoint*|rust|ruby|perl|lua|elixir|\
        swift|code|coding|debug*|implement*|algorithm|compile*|compiler|runtime error|api|async|await|\
        exception|boolean|recursi*|function call|parameter*|library|package.json|npm|pip install|script|\
        unit-test|deserializ*|serializ*|parser|linter|ci pipeline|deadlock|mutex|thread pool|sorting|\
        program|database query|quellcode|programmier*|skript|fonction|programme|codigo|programa|\
        funcion que|funzione|funcao|codice|kodu|funkcj*|функци*|код|программ*|скрипт*|kod|fonksiyon*|代码|\
        函数|编程|程序|脚本|コード|関数|プログラム|スクリプト|코드|함수|프로그램|스크립트|*دالة*|*برنامج*|كود|funktion, die|eine funktion",
    ),
    (
        Task::Code,
        1.0,
        "function|class|method|bug|error|variable|array|string|loop|output of|fehler|funktion|erreur|\
        bogue|datei|file|test|tests|server|client|commit|repo|repository|branch|deploy*|query|json|yaml|\
        module|crate|cli|wrapper|fehlermeldung",
    ),
    // Math.
    (
        Task::Math,
        3.0,
        "prove that|probability|theorem|lemma|equation*|integral|integrate|derivative of|derivative|\
        differentiate|polynomial*|square root|cube root|prime number*|prime factor*|quadratic|matrix|\
        determinant|eigenvalue*|\\frac|\\sqrt|\\sum|\\int|\\mathbb|\\begin|\\cdot|\\angle|modulo|\
        greatest common divisor|least common multiple|arithmetic sequence|geometric series|hypotenuse|\
        factorial|logarithm*|trigonometr*|standard deviation|solve for|*gleichung*|quadratwurzel|\
        ableitung|primzahl*|wahrscheinlichkeit|derivee|racine carree|nombre premier|probabilite|\
        ecuacion*|derivada*|raiz cuadrada|numero primo|probabilidad|equazion*|derivata|radice quadrata|\
        equacao|equacoes|vergelijking*|rownani*|уравнен*|производн*|интеграл*|вероятност*|ekvation*|\
        denklem*|方程|导数|积分|概率|平方根|方程式|微分|積分|確率|素数|방정식|적분|미분|확률|*معادلة*|*تكامل*|*احتمال*|^simplify|\
        ^factor|^expand|^integrate|right triangle|how many ways|least number|greatest number|\
        faktorisiere|vereinfache*|simplifie*|factorise*|simplifica*|factoriza*|semplifica*|uprosc*|\
        упрост*|化简|因式分解|因数分解|인수분해",
    ),
    (
        Task::Math,
        2.0,
        "calculate|compute|solve|prove|percent*|triangle|circle|radius|perimeter|divided by|\
        multiplied by|multiply|product of|remainder|fraction|arithmetic|algebra|geometry|calculus|\
        integer*|ratio|average speed|compound interest|berechne*|rechne*|beweise*|prozent|dreieck*|\
        calcul*|resou*|resol*|demontrer|triangle rectangle|demuestra*|resuelve*|triangulo*|risolvi|\
        dimostra*|triangolo|bereken*|oblicz*|rozwiaz*|вычисл*|реши|решите|посчита*|докаж*|процент*|\
        треугольник*|berakna|los ekvation*|hesapla*|计算|求解|求出|证明|三角形|解方程|計算|求め|証明|解いて|계산|증명|삼각형|*احسب*|\
        حل|divisible by|positive integer*|real number*|how many different|ways can|value of|digits|\
        diagonal|rectangle|hexagon|diameter|average of|mean of|median of|decimal*|per hour|\
        times as many|times as much|years older|ordered pair|coordinates|rechteck*|flacheninhalt|\
        durchschnitt*|quersumme|moyenne de|perimetre|aire de|promedio|perimetro|area del|\
        media aritmetica|srednia|периметр*|среднее|площадь|面积|周长|平均|面積|周囲|넓이|평균|둘레|*مساحة*|*محيط*",
    ),
    (
        Task::Math,
        0.7,
        "function|sum|product|number of|total|angle|area of|volume of|distance|speed|cost|each|twice|\
        half|combien|wie viele|cuantos|quanti|sum of|cm|km|kg|meters|miles|dollars|cents|pounds|hours|\
        minutes|left|remaining|altogether|equally|older|younger",
    ),
    // Reasoning.
    (
        Task::Reasoning,
        3.5,
        "logic puzzle|riddle|logical reasoning|syllogism|deduce|deduction|who is lying|truth-teller|\
        knights and knaves|clue(s)|root cause|thought experiment|prisoner's dilemma|trolley problem|\
        pros and cons|trade-off*|tradeoff*|vor- und nachteile|avantages et inconvenients|\
        ventajas y desventajas|pro e contro|pros e contras|plusy i minusy|плюсы и минусы|优缺点|メリットとデメリット|\
        장단점|逻辑|论证|推理|論理|추론|ratsel|enigme|acertijo|indovinello|загадк*|логическ*|which option is better|\
        which is better|better choice|should i choose|make the case|cost-benefit|devil's advocate|\
        was ist besser|was ware besser|lequel est meilleur|que es mejor|cosa conviene|qual e melhor|\
        что лучше|哪个更好|どちらが良い|どちらがいい|어느 것이|어떤 것이 더",
    ),
    (
        Task::Reasoning,
        2.0,
        "^compare|compare the|compare and|compare|^analyze|^analyse|analyze|analyse|evaluate|assess|\
        argue|counterargument*|step by step|what would happen if|what if|should we|should i|\
        which option|best strategy|strategy|plan for|plan a migration|decide between|weigh|justify|\
        infer|puzzle|hypothes*|consequences|implication*|vergleich*|analysier*|abwag*|bewerte*|\
        begrunde*|sollten wir|compare*|comparez|analyse*|analysez|evalue*|faut-il|devrions-nous|\
        compara*|analiza*|evalua*|deberiamos|confronta*|analizza*|valuta*|analise*|compare os|avalie*|\
        vergelijk*|analyseer*|porownaj|przeanalizuj|сравни*|проанализир*|оцени*|jamfor*|analysera|\
        karsilastir*|比较|分析|评估|对比|比較|評価|비교|분석|평가|*قارن*|حلل|whether|ob sich|si conviene|se conviene|\
        стоит ли|是否应该|べきか|해야 할까",
    ),
    (
        Task::Reasoning,
        1.0,
        "why would|because|therefore|if all|all of the|conclude|conclusion|contradict*|reason|\
        must be true|must it be true|reasoning|necessarily",
    ),
    // Knowledge.
    (
        Task::Knowledge,
        2.0,
        "^what is|^what are|^what was|^what were|^what's|^who|^when|^where|^which|^whose|^whom|\
        capital of|capital city|definition of|^define|meaning of|what does|mean by|what causes|how does|\
        how do|difference between|history of|tell me about|^explain|^describe|^name the|\
        which of the following|was ist|was sind|was bedeutet|was versteht man|^wer|^wann|^wo|^welche*|\
        hauptstadt|^erklar*|unterschied zwischen|wie funktioniert|wie heisst|qu'est-ce que|\
        qu'est-ce qu'|c'est quoi|^qui est|^qui a|^quelle est|^quel est|^quels sont|^quelles sont|^quand|\
        capitale|^expliqu*|comment fonctionne|difference entre|^que es|^que son|^quien|^cual es|\
        ^cuales son|^cuando|^donde|^explica*|como funciona|diferencia entre|^cos'e|^che cos'e|^chi|\
        ^qual e|^quando|^dove|^spiega*|come funziona|differenza tra|^o que e|^quem|^qual|^onde|\
        ^explique|^wat is|^wie is|^waar|^wanneer|hoofdstad|^leg uit|hoe werkt|verschil tussen|\
        co to jest|czym jest|^jaka|^jaki|stolica|stolicy|^kto|^kiedy|^gdzie|^wyjasnij|jak dziala|\
        что такое|^кто|^когда|^где|столиц*|^объясни*|как работает|разниц*|^какой|^какая|^какие|\
        расскажи о|^vad ar|^vem|^nar|^var ligger|huvudstad*|forklara|nedir|kimdir|baskent*|hangi|\
        acikla*|nasil calisir|什么是|是什么|是谁|谁是|首都|哪一|哪个|哪年|哪里|解释|介绍|とは|とは何|は何|誰|どこ|いつ|説明|教えて|違い|무엇|뭐야|누구|\
        수도|어디|언제|설명|차이|*ما هي*|*ما هو*|*من هو*|*من هي*|*عاصمة*|متى|أين|*اشرح*|*ما الفرق*|क्या है*|\
        राजधानी*|कौन*|समझाइए*|कब*|คืออะไร|เมืองหลวง|ใคร|ที่ไหน|τι ειναι|ποια ειναι|πρωτευουσα|ποιος|\
        ^why|^warum|^pourquoi|^por que|^perche|^waarom|^почему|为什么|なぜ|왜|^welke|^hoeveel|哪些|la gi|thu do|\
        o dau|apa itu|ibu kota|siapa|kapan|^how many|^how much|^how long|^how far|^how old|^how tall|\
        ^can i|^can you tell|^is it|^are there|^does|^do|^did|^is there|^darf|^kann ich|^wie viele|\
        ^wie lange|^wie hoch|^gibt es|^combien|^est-ce que|^puis-je|^y a-t-il|^cuantos|^cuantas|^cuanto|\
        ^puedo|^hay|^quanti|^quante|^quali|^posso|^quantos|^quantas|^quais|^ile|^czy|^сколько|^можно ли|\
        ^есть ли|^сколько лет|几个|多少|吗|いくつ|ありますか|ですか|몇|있나요|인가요|كم|هل|kac tane|^mag ik|^kan ik",
    ),
    (
        Task::Knowledge,
        1.0,
        "what|who|when|where|which|how|known as|named after|located in|invented|discovered|founded|wie|\
        combien|quel|quelle|cual|qual|jak|как|怎么|どう|어떻게",
    ),
    // Extraction.
    (
        Task::Extraction,
        4.0,
        "extract*|named entit*|pull out|extrahier*|extrai*|extray*|extraer|extrae|estrai*|estrarre|\
        extraheer*|wyodrebnij|wypisz|извлек*|выпиши|extrahera|cikar|提取|抽取|抽出|추출|*استخرج*|निकाल*",
    ),
    (
        Task::Extraction,
        2.5,
        "identify all|find all|list all the|list every|list the names|all the dates|all dates|\
        all email addresses|fill in the fields|into json|to json|as json|return json with|all mentions|\
        which companies are mentioned|parse this|from this invoice|from the invoice|from this text|\
        from the text|from the email|from this email|from the following|liste alle|finde alle|\
        aus dem text|aus dieser|aus folgendem|liste toutes|trouve tous|releve*|du texte|todas las|\
        todos los|del texto|dal testo|elenca tutt*|do texto|uit de tekst|z tekstu|из текста|列出所有|找出|\
        から抜き出|すべて挙げ|모두 찾|every date|every amount|all names|all amounts|aus der mail|aus der e-mail|\
        du courriel|del correo|dall'email",
    ),
    // Summarisation.
    (
        Task::Summarisation,
        4.0,
        "summari*|summary|tl;dr|tldr|sum up|key points|main points|key takeaways|main takeaways|\
        executive summary|condense|abridge|gist of|zusammenfass*|fasse*|zusammengefasst|^resume|resumer|\
        resumez|un resume|le resume|synthese|synthetise*|resumen|resumir|resume el|resume este|\
        resume esta|resume los|resumo|resuma|riassum*|riassunto|sintesi|samenvat*|vat samen|stresc*|\
        podsumuj*|streszcz*|резюмир*|кратко излож*|краткое содерж*|перескажи*|обобщи*|суммариз*|\
        sammanfatt*|ozetle*|ozet|总结|概括|摘要|概述|要約|まとめて|要点|요약|정리해|لخص|*ملخص*|सारांश*|สรุป|περιληψη|συνοψ*|\
        ^vat|tom tat|ringkas*|rangkum*|the gist|in two lines|boil it down|short version of|\
        worum geht es|de quoi parle|de que trata|di cosa parla|о чем этот|讲了什么|何について",
    ),
    (
        Task::Summarisation,
        1.5,
        "shorten|in a nutshell|boil down|highlights|recap|minutes of|bullet points|stichpunkte*|\
        kurze fassung",
    ),
    // Translation.
    (
        Task::Translation,
        4.0,
        "translat*|wie sagt man|comment dit-on|como se dice|come si dice|como se diz|как сказать|怎么说|\
        何と言い|뭐라고 하|how do you say|how to say|ubersetz*|tradui*|traduction|traduc*|traduz*|traducir|\
        tradur*|vertaal*|vertaling|przetlumacz*|tlumacz*|перевед*|перевод*|oversatt*|cevir*|翻译|译成|翻訳|\
        訳して|번역|*ترجم**|अनुवाद*|แปล|μεταφρα*|dich sang|dich cau|terjemahkan*",
    ),
    (
        Task::Translation,
        2.0,
        "into english|into french|into german|into spanish|into italian|into japanese|into chinese|\
        into portuguese|into dutch|into russian|into arabic|into polish|into korean|to french|to german|\
        to spanish|to english|to japanese|ins englische|ins deutsche|ins franzosische|ins spanische|\
        auf englisch|en anglais|en francais|en allemand|en espagnol|al ingles|al espanol|al frances|\
        en ingles|in inglese|in italiano|para ingles|para o ingles|para portugues|naar het engels|\
        in het nederlands|na angielski|na polski|на английский|на русский|till engelska|till svenska|\
        ingilizceye|成英文|成中文|英語に|日本語に|영어로|한국어로",
    ),
    // Writing.
    (
        Task::Writing,
        3.0,
        "poem|haiku|sonnet|limerick|short story|essay|blog post|cover letter|product description|\
        press release|screenplay|song lyrics|lyrics|slogan*|tagline*|speech|toast|linkedin post|rewrite|\
        rephrase|paraphrase|proofread|make it sound|more formal|more polite|newsletter|fairy tale|\
        bedtime story|eulogy|wedding vows|job posting|job ad|gedicht|kurzgeschichte|aufsatz|blogbeitrag|\
        anschreiben|pressemitteilung|formulier*|umschreib*|produktbeschreibung|poeme|nouvelle|\
        dissertation|lettre de motivation|communique de presse|reformul*|redig*|poema|cuento|ensayo|\
        carta de presentacion|redacta*|reescrib*|poesia|racconto|riscriv*|redija|reescrev*|conto|\
        herschrijf*|wiersz|opowiadani*|стихотворени*|рассказ|сочинени*|эссе|перепиши|dikt|novell|siir|\
        hikaye|作文|诗|故事|改写|润色|文案|俳句|詩|物語|書き直|推敲|에세이|이야기|시를 써|다듬|*قصيدة*|قصة|*مقال*|कविता*|कहानी*|บทกวี|\
        เรียงความ|ποιημα|sound more|sounds more|friendlier|kurze geschichte|kort verhaal|verhaal over|\
        historia corta|breve racconto|conto curto|short text about|bewerbungsschreiben|offre commerciale",
    ),
    (
        Task::Writing,
        2.0,
        "^write|write me|^draft|draft a|draft an|^compose|compose a|^craft|email|letter|story|\
        paragraph about|caption|tweet|invitation|schreib*|verfass*|entwirf|brief an|e-mail|\
        geschichte uber|ecri*|courriel|lettre|histoire|escrib*|correo|carta|historia sobre|scriv*|\
        lettera|escrev*|schrijf*|napisz*|напиши*|составь|письмо|skriv*|brev|yaz|mektup|e-posta|写一|写封|邮件|\
        信|書いて|手紙|メール|써줘|써 줘|작성|편지|이메일|*اكتب*|*رسالة*|लिख*|เขียน|γραψε|hay viet|viet mot|tulis*|buatkan|\
        announcing|announcement|congratulat*|apolog*|obituary|biography|birthday card|thank-you note|\
        text for|chapter|dialogue|monologue|script for a play|verzeichnis|einladung|dankesbrief|\
        entschuldigung|ankundigung|gluckwunsch*|annonce|remerciement|offre d'emploi|invitacion|\
        felicitacion|anuncio|invito|annuncio|convite|uitnodiging|zaproszenie|приглашени*|поздравлени*|\
        объявлени*|感谢信|邀请函|祝贺|招待状|お礼状|초대장|감사 편지|*دعوة*|davetiye|tebrik",
    ),
    (Task::Writing, 1.0, "tone|style of|persuasive|creative|brainstorm|ideas for|names for"),
    // Classification.
    (
        Task::Classification,
        4.0,
        "classif*|sentiment|positive or negative|positive, negative|spam or|is this spam|which category|\
        which label|assign a label|assign one of|label each|label the|label this|klassifizier*|ordne*|\
        einordnen|kategori*|stimmung dieser|classe ce|classe ces|classez|categorie*|clasific*|\
        categoriz*|classific*|classifique|classificeer*|sklasyfikuj|przypisz|классифиц*|\
        определи тональность|тональност*|klassificera|siniflandir*|duygu analizi|分类|归类|情感|分類|感情|분류|\
        감정 분석|صنف|वर्गीकृत*|จัดประเภท|ταξινομ*|categorize*|categorise*|into categories",
    ),
    (
        Task::Classification,
        1.5,
        "true or false|toxic|intent of|is it a|one of these categories|urgent or|priority of|\
        einer der kategorien|positiv oder negativ|positif ou negatif|positivo o negativo|\
        positivo ou negativo",
    ),
    // Chat.
    (
        Task::Chat,
        3.0,
        "^hello|^hi|^hey|^good morning|^good evening|^good night|how are you|thank you|thanks|what's up|\
        nice to meet you|tell me a joke|who are you|how's it going|goodbye|^bye|let's chat|i feel|\
        i'm feeling|i'm bored|i'm sad|i'm lonely|talk to me|^hallo|wie geht's|wie geht es dir|\
        guten morgen|danke|^bonjour|^salut|ca va|merci|^hola|gracias|como estas|que tal|buenos dias|\
        ^ciao|come stai|grazie|buongiorno|^ola|tudo bem|obrigad*|bom dia|hoe gaat het|goedemorgen|\
        bedankt|^czesc|jak sie masz|dziekuje|^привет|как дела|спасибо|здравствуй*|^hej|hur mar du|tack|\
        merhaba|nasilsin|tesekkur*|你好|谢谢|早上好|最近怎么样|こんにちは|おはよう|ありがとう|元気|안녕|고마워|감사합니다|잘 지내|*مرحبا*|*شكرا*|\
        *كيف حالك*|नमस्ते*|धन्यवाद*|สวัสดี|ขอบคุณ|γεια|ευχαριστω",
    ),
    (Task::Chat, 1.0, "lol|haha|yes|ok|okay|cool|great|please|sorry"),
    // Tool use: what the tools are for is in the cues; this is about asking for them.
    (
        Task::ToolUse,
        3.0,
        "call the tool|use the tool*|using the tools|function call|using your tools|with the api tool|\
        nutze das tool|utilise l'outil|usa la herramienta",
    ),
];
