//! Data for telling languages apart: their commonest short words, letters only they use, and codes.

/// Languages with a word list: their bit is their position here.
pub(super) const LISTED: [&str; 30] = [
    "en", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "no", "fi", "pl", "cs", "ro", "hu", "tr", "id",
    "vi", "ca", "ru", "uk", "bg", "sr", "hr", "ar", "fa", "ur", "hi", "mr", "ne",
];

/// The commonest function words of each language, and the words that questions and instructions begin with.
pub(super) const WORDS: [&str; 30] = [
    "the of and to in is are was were what which who how why when where that this it for with on as by from an be or not \
     you your my i me we do does did can could would should have has had if then than there their them they about into \
     please write explain give make between after before its his her will all any some these those i'm i'd don't what's a \
     it's at up out more many much also just so but us our how's find list \
     solve calculate prove translate summarize summarise compare fix draft tell create generate implement \
     extract classify show need help whose hey had hello thanks today",
    "der die das und ist in zu den dem des ein eine einen einer eines einem nicht mit von für auf im sich auch als an bei \
     nach wie was wer wo wann warum welche welcher welches wird werden wurde sind war ich du er sie es wir ihr mir mich \
     mein meine meinen meiner kann können soll haben hat habe bitte über aus zum zur oder aber wenn dass diese dieser \
     dieses diesen schreibe erkläre zwischen um bis so noch nur sein seine gibt man vom durch am mein \
     berechne löse übersetze vergleiche fasse hallo danke heute dir geht",
    "le la les des du de et est une un dans en pour que qui quoi quel quelle quels quelles sur avec par au aux ce cette \
     ces il elle nous vous je tu mon ma mes son sa ses leur ne pas plus ou où mais comme sont être avoir ont était à \
     comment pourquoi quand entre sans se si peux pouvez écris rédige expliquez explique d l c'est qu'est s'il y fait \
     faire votre notre donne moi \
     calcule résous traduis résume compare bonjour merci aujourd'hui combien",
    "el la los las de del y en que es un una unos unas por para con no se su sus al lo le como más pero o qué cuál cuáles \
     cómo cuándo dónde quién quiénes cuánto cuántos por mi mis tu tus me te nos son está están ser fue era hay este esta \
     estos estas entre sin sobre también ha han yo si cuando donde porque escribe explica puedes muy hacer esto eso ese \
     calcula resuelve traduce resume compara hola gracias hoy",
    "il lo la i gli le di del della dei delle dello degli e è un una uno in che per con non si su al alla da dal dalla nel \
     nella sono come più ma o cosa quale quali chi quando dove perché mi ti ci mio mia suo sua questo questa questi \
     tra fra anche ha hanno essere era scrivi spiega puoi se sul sulla quanto quanti c'è cos'è qual \
     calcola risolvi traduci riassumi confronta ciao grazie oggi",
    "o a os as de do da dos das e é em um uma que para com não se no na nos nas por ao mais como mas ou qual quais quem \
     quando onde porque meu minha seu sua este esta isso são está foi ser ter há entre sem sobre também eu você me ele \
     ela escreva explique pode pelo pela à qual já até muito \
     calcule resolva traduza resuma olá obrigado obrigada hoje",
    "de het een en van is in op te dat die voor met niet aan er zijn was als om bij ook naar dan maar hoe wat wie waar \
     wanneer waarom welke ik je jij u hij zij ze we wij mijn uw dit deze door over uit tot kan kun worden wordt heeft \
     hebben schrijf leg tussen of zo nog geen moet al mij \
     bereken vertaal vergelijk hallo bedankt vandaag",
    "och att det som en ett är av för på med den till inte om har de jag du han hon vi ni mig dig sig vad vem var när hur \
     varför vilken vilka från kan ska skulle eller men så ut upp över mellan efter utan detta denna dessa min mitt skriv \
     förklara också bara i alla mina ditt",
    "og at det som en et er af for på med den til ikke om har de jeg du han hun vi i mig dig sig hvad hvem hvor hvornår \
     hvordan hvorfor hvilken hvilke fra kan skal eller men så ud op over mellem efter uden dette denne disse min mit \
     skriv forklar også kun nogle bliver være blev når noget",
    "og at det som en et er av for på med den til ikke om har de jeg du han hun vi i meg deg seg hva hvem hvor når hvordan \
     hvorfor hvilken hvilke fra kan skal eller men så ut opp over mellom etter uten dette denne disse min mitt skriv \
     forklar også bare noen være ble blir noe mye å i ikkje",
    "ja on ei että se oli ovat mikä mitä kuka missä milloin miten miksi joka jotka kun jos niin kuin tai mutta minä sinä \
     hän me te he minun sinun hänen tämä nämä voi ole olla kanssa myös vain mukaan kirjoita selitä välillä sekä kuinka \
     minulle ne mitkä onko sen",
    "i w na z do się nie jest to że o jak co kto gdzie kiedy dlaczego który która które są był była było po od za dla ze \
     przez ten ta te tym tego mój moja mnie ja ty on ona my ich jego jej czy ale lub oraz może można proszę napisz \
     wyjaśnij między bez by jaka jaki jakie mi pod \
     oblicz rozwiąż przetłumacz porównaj cześć dziękuję",
    "a v na se je že to s z do o k i jak co kdo kde kdy proč který která které jsou byl byla bylo po od za pro ze \
     při ten ta tento tato můj moje mě já ty on ona my jejich jeho její ale nebo může prosím napiš vysvětli mezi bez \
     by jaké jaký jaká si ve jako mi",
    "și în de la cu pe un o este sunt că nu se din pentru ce care cine unde când cum câte cât mai dar sau al ale a \
     fi fost era eu tu el ea noi îmi mea meu său sa acest această aceste între fără despre scrie explică poate prin \
     după lui mi-e să vă te rog",
    "a az és hogy nem is egy van volt mi ki hol mikor hogyan miért melyik milyen mit ez ezek de vagy ha mint csak már \
     meg én te ő mi ti ők az én kérlek írj magyarázd között nélkül után lehet kell azt ezt fel le minden nekem mennyi",
    "ve bir bu için ile de da mi mı ne nedir kim nasıl neden nerede hangi kaç ama veya çok daha en olan olarak gibi var \
     yok ben sen o biz siz bana benim lütfen yaz açıkla arasında sonra önce kadar değil her şu ki olduğu bunu mu mü \
     hesapla çevir karşılaştır merhaba bugün",
    "yang dan di ke dari untuk dengan ini itu adalah tidak apa siapa bagaimana mengapa kapan berapa saya anda kamu kami \
     akan dapat bisa ada pada dalam oleh atau juga tolong buatkan jelaskan antara sebagai lebih karena seorang sebuah \
     mana tentang para tulis",
    "là của và các có được cho trong không một những với người này đã để khi từ như về tôi bạn hãy gì ai nào sao thế \
     đó ra vào cũng nhưng hay viết giải thích bao nhiêu đâu thì cái năm ở",
    "el la els les de del i en que és un una uns per amb no es què quin quina quins com quan on qui però o més aquest \
     aquesta són està ser entre sense sobre també jo tu em et li nosaltres escriu explica pot dels al als perquè meva",
    "и в не на что я с он как это по к но из у за от о для так же все вы мы бы был была было его её их мне меня мой моя \
     кто где когда почему какой какая какие сколько чем или если есть быть между без напиши объясни пожалуйста эта этот \
     эти она они ты во со до при",
    "і в не на що я з він як це по до але із у за від о для так же всі ви ми б був була було його її їх мені мене мій \
     моя хто де коли чому який яка які скільки чи або якщо є бути між без напиши поясни будь ласка ця цей ці вона вони \
     ти та про \
     переклади привіт дякую",
    "и в не на че аз с той как това по към но от у за до са е се ще да ли или ако има между без напиши обясни моля тази \
     този тези тя те ти какво кой коя кои къде кога защо колко какъв какви ми моят моята със във при ни ви",
    "и у не на што ја са он као то по ка али из за од о да је се су ће ли или ако има између без напиши објасни молим \
     ова овај ове она они ти шта ко где када зашто колико који која које ми моје моја сам",
    "i u na je se da su za od s iz po o do ne što ja on kao to ali ili ako ima između bez napiši objasni molim ova ovaj \
     ove ona oni ti tko gdje kada zašto koliko koji koja koje mi moj moja sam ćemo kako što ga bi biti",
    "في من على إلى أن ما ماذا هل هو هي لا هذا هذه التي الذي عن كيف لماذا متى أين كل مع كان لم قد حتى لي أو ثم بعد قبل بين \
     اشرح اكتب",
    "و در به از که این را با است برای چرا چه چگونه آن های می هم یا تا شود من شما کنید بر روی کرد داد شد توضیح",
    "کے کی ہے میں سے کو یہ اور کا نے پر کیا ہیں کیوں مجھے نہیں ہو تھا ایک اس",
    "है हैं का की के में को से और यह क्या क्यों कैसे पर कि ने भी नहीं मुझे आप मैं हो था थी थे हुई एक इस लिए जो कर करने किया \
     जाता मेरे",
    "आहे आहेत आणि च्या काय कसे मला आपण हे ही ते या नाही तो मी होते साठी मध्ये का",
    "छ छन् हो को का के लाई र मा गर्न मलाई यो किन कसरी भएको गर्नुहोस् तपाईं",
];

/// Letters that only few languages use, with the languages (codes) that do.
pub(super) const LETTERS: [(&str, &str); 17] = [
    ("ñ¿", "es"),
    ("ß", "de"),
    ("ãõ", "pt"),
    ("șță", "ro"),
    ("řěů", "cs"),
    ("łżśćźąęń", "pl"),
    ("őű", "hu"),
    ("ğış", "tr"),
    ("å", "sv da no"),
    ("øæ", "da no"),
    ("ơưđạảấầẩậắằẹẻếềểệỉịọỏốồổộớờởợụủứừửựỳỹ", "vi"),
    ("їєґі", "uk"),
    ("پچژگ", "fa ur"),
    ("ٹڈڑےںہ", "ur"),
    ("ыэё", "ru"),
    ("ъ", "bg ru"),
    ("ђћџљњј", "sr"),
];

/// ISO 639-3 codes as the detector gives them, with their ISO 639-1 codes.
pub(super) const CODES: [(&str, &str); 70] = [
    ("epo", "eo"),
    ("eng", "en"),
    ("rus", "ru"),
    ("cmn", "zh"),
    ("spa", "es"),
    ("por", "pt"),
    ("ita", "it"),
    ("ben", "bn"),
    ("fra", "fr"),
    ("deu", "de"),
    ("ukr", "uk"),
    ("kat", "ka"),
    ("ara", "ar"),
    ("hin", "hi"),
    ("jpn", "ja"),
    ("heb", "he"),
    ("yid", "yi"),
    ("pol", "pl"),
    ("amh", "am"),
    ("jav", "jv"),
    ("kor", "ko"),
    ("nob", "no"),
    ("dan", "da"),
    ("swe", "sv"),
    ("fin", "fi"),
    ("tur", "tr"),
    ("nld", "nl"),
    ("hun", "hu"),
    ("ces", "cs"),
    ("ell", "el"),
    ("bul", "bg"),
    ("bel", "be"),
    ("mar", "mr"),
    ("kan", "kn"),
    ("ron", "ro"),
    ("slv", "sl"),
    ("hrv", "hr"),
    ("srp", "sr"),
    ("mkd", "mk"),
    ("lit", "lt"),
    ("lav", "lv"),
    ("est", "et"),
    ("tam", "ta"),
    ("vie", "vi"),
    ("urd", "ur"),
    ("tha", "th"),
    ("guj", "gu"),
    ("uzb", "uz"),
    ("pan", "pa"),
    ("aze", "az"),
    ("ind", "id"),
    ("tel", "te"),
    ("pes", "fa"),
    ("mal", "ml"),
    ("ori", "or"),
    ("mya", "my"),
    ("nep", "ne"),
    ("sin", "si"),
    ("khm", "km"),
    ("tuk", "tk"),
    ("aka", "ak"),
    ("zul", "zu"),
    ("sna", "sn"),
    ("afr", "af"),
    ("lat", "la"),
    ("slk", "sk"),
    ("cat", "ca"),
    ("tgl", "tl"),
    ("hye", "hy"),
    ("cym", "cy"),
];

/// Scripts that one language (by far) is written in: first and last code point, code. The rest need a closer look.
pub(super) const SCRIPTS: [(char, char, &str); 20] = [
    ('\u{370}', '\u{3ff}', "el"),
    ('\u{1f00}', '\u{1fff}', "el"),
    ('\u{530}', '\u{58f}', "hy"),
    ('\u{590}', '\u{5ff}', "he"),
    ('\u{980}', '\u{9ff}', "bn"),
    ('\u{a00}', '\u{a7f}', "pa"),
    ('\u{a80}', '\u{aff}', "gu"),
    ('\u{b00}', '\u{b7f}', "or"),
    ('\u{b80}', '\u{bff}', "ta"),
    ('\u{c00}', '\u{c7f}', "te"),
    ('\u{c80}', '\u{cff}', "kn"),
    ('\u{d00}', '\u{d7f}', "ml"),
    ('\u{d80}', '\u{dff}', "si"),
    ('\u{e00}', '\u{e7f}', "th"),
    ('\u{e80}', '\u{eff}', "lo"),
    ('\u{1000}', '\u{109f}', "my"),
    ('\u{10a0}', '\u{10ff}', "ka"),
    ('\u{1100}', '\u{11ff}', "ko"),
    ('\u{1200}', '\u{137f}', "am"),
    ('\u{ac00}', '\u{d7af}', "ko"),
];
