//! Terms that say what a request is about.

use router_core::attributes::Topic;

pub(in crate::features) const TOPICS: &[(Topic, f32, &str)] = &[
    (
        Topic::Legal,
        3.0,
        "lawsuit*|plaintiff*|defendant*|statute*|statutory|indemnif*|indemnity|attorney*|lawyer*|tort|\
        jurisdiction|arbitration|non-disclosure|nda|gdpr|copyright*|trademark*|patent|patents|eviction|\
        breach of contract|custody|terms of service|terms and conditions|litigation|power of attorney|\
        probate|felony|misdemeanor|subpoena|governing law|liability clause|non-compete|supreme court|\
        appellate|legal|legally|contract law|employment contract|force majeure|hearsay|*vertrag|\
        *vertrags|*vertrage*|*klausel*|rechtlich*|rechtsanw*|anwalt*|gericht*|kundigungsfrist*|\
        mietrecht|haftung*|dsgvo|urteil*|bgb|schadensersatz*|widerruf*|gesetz*|klage|rechts*|contrat|\
        contrats|clause*|juridique*|tribunal|avocat*|code civil|code du travail|litige*|jurisprudence|\
        resiliation*|non-concurrence|rgpd|mise en demeure|droit du travail|bail|licenciement*|prud'hom*|\
        responsabilite civile|contrato*|clausula*|abogad*|juridic*|codigo civil|despido*|\
        demanda judicial|arrendamiento*|juzgado|legislacion|ley organica|contratt*|clausol*|avvocat*|\
        codice civile|risarciment*|giuridic*|advogad*|codigo penal|acao judicial|huurovereenkomst|\
        advocaat|rechtbank|arbeidsovereenkomst|juridisch*|umow*|adwokat*|kodeks*|pozew|договор*|закон*|\
        юрид*|юрист*|адвокат*|исков*|суд|судеб*|avtal*|advokat*|juridisk*|sozlesme*|hukuk*|avukat*|\
        mahkeme*|合同|法律|诉讼|律师|条款|法院|违约|契約|訴訟|弁護士|条項|裁判|損害賠償|계약|법률|소송|변호사|위약금|عقد|*قانون**|*محكمة*|\
        *محام**|अनुबंध*|कानून*|वकील*|สัญญา|กฎหมาย|ทนาย|συμβαση|νομικ*|δικηγορ*|liable for|in court|\
        legal rights|tenancy|inherit*|will and testament|divorce|notary|immigration law|\
        visa application|criminal law|constitution*|mietminderung|*recht auf|erbrecht|scheidung*|notar|\
        strafrecht|heritage|succession|notaire|droit penal|herencia|divorcio|notario|eredita|divorzio|\
        notaio|heranca|rozwod|spadek|наследств*|развод|нотариус*|劳动合同|赔偿|继承|离婚|相続|離婚|労働基準|상속|이혼|*ميراث*|\
        *طلاق*|miras|bosanma",
    ),
    (
        Topic::Legal,
        1.5,
        "contract*|law|laws|clause|court|tenant*|landlord*|lease|liabilit*|liable|sue|judge|regulation*|\
        compliance|consent|rights|regulatory|illegal|mieter*|vermieter*|recht|paragraph 5|locataire*|\
        proprietaire*|loi|lois|droit|plainte|inquilin*|ley|leyes|juez|sentencia|legge|tribunale|\
        locazione|lei|leis|wet|huurder*|prawo|prawn*|kanun*|право|lag|lagen|權利|权利|責任|책임|wohnung|diritti|\
        inquilino|diritto|propriet*|logement|vivienda",
    ),
    (
        Topic::Medical,
        3.0,
        "symptom*|diagnos*|medication*|dosage|cancer|tumor*|diabet*|hypertension|antibiotic*|vaccin*|\
        side effect*|ibuprofen|paracetamol|acetaminophen|aspirin|insulin|clinical trial*|chest pain|\
        asthma|blood pressure|chemotherapy|antidepressant*|metformin|amoxicillin|pneumonia|migraine*|\
        stroke|heart attack|physician*|pediatric*|anatomy|pathology|medical|medicine|cholesterol|\
        krankheit*|arzt|arztin|medikament*|blutdruck|nebenwirkung*|dosierung|impf*|krebs|fieber|\
        kopfschmerz*|maladie*|symptome*|medecin*|medicament*|fievre|posologie|ordonnance medicale|\
        grossesse|effets secondaires|diabete|enfermedad*|sintoma*|tratamiento medico|fiebre|embarazo|\
        presion arterial|efectos secundarios|medicamento*|malattia*|sintom*|farmac*|febbre|\
        effetti collaterali|doenca*|remedio*|febre|efeitos colaterais|ziekte*|bijwerking*|huisarts|\
        koorts|chorob*|objaw*|lekarz*|lekarstw*|goraczk*|симптом*|болезн*|врач*|лекарств*|пациент*|\
        побочн*|диабет*|sjukdom*|lakare|biverkning*|feber|hastalik*|belirti*|doktor*|ilac*|症状|疾病|医生|患者|\
        发烧|副作用|糖尿病|高血压|药物|病気|医師|医者|薬|発熱|高血圧|증상|질병|의사|환자|부작용|당뇨병|고혈압|مرض|*أعراض*|*طبيب*|*دواء*|लक्षण*|\
        बीमारी*|डॉक्टर*|दवा*|อาการ|โรค|แพทย์|συμπτωμα*|ασθενει*|γιατρ*|φαρμακ*|rash|nausea|dizzy|\
        dizziness|arthritis|alzheimer*|epilep*|psychiatr*|dermat*|cardio*|orthop*|x-ray|mri|ultrasound|\
        blood test|prescription*|overdose|contraindicat*|hepatitis|malaria|hiv|covid*|influenza|flu|\
        grippe|antibiotik*|rezept vom arzt|schwanger*|allaitement|vertige*|gripe|resfriado|mareo*|\
        gravidanza|gravidez|zwanger*|grip|gebelik|грипп*|беремен*|антибиотик*|аллерги*|流感|怀孕|抗生素|过敏|妊娠|\
        アレルギー|インフルエンザ|抗生物質|임신|알레르기|독감|항생제|*حمل*|*حساسية*",
    ),
    (
        Topic::Medical,
        1.5,
        "patient|patients|disease*|treatment*|doctor*|hospital*|surgery|surgical|infection*|fever|\
        headache*|pain|pregnan*|therapy|dose|doses|allerg*|clinical|nurse*|mg|health|immune|virus|\
        bacteri*|depression|anxiety|behandlung|schmerz*|therapie|gesundheit|traitement*|douleur*|sante|\
        paciente*|dolor|salud|paziente*|dolore|salute|saude|dor|behandeling|gezondheid|лечен*|здоров*|\
        治疗|健康|治療|치료|건강|*علاج*|صحة",
    ),
    (
        Topic::Finance,
        3.0,
        "stock market|stocks|shares|portfolio|dividend*|interest rate*|mortgage*|income tax|tax return|\
        taxes|inflation|treasury|exchange rate|bitcoin|crypto*|cash flow|balance sheet|ebitda|\
        hedge fund|retirement|401k|etf|etfs|net present value|npv|irr|compound interest|financial|\
        finance|monetary|credit score|credit card|bank account|accounting|invest*|bond yield*|loan|\
        loans|fiscal|savings account|aktie*|zinsen|zinssatz*|kredit*|steuer*|rendite|bilanz|hypothek*|\
        altersvorsorge|geldanlage|girokonto|bourse|impot*|taux d'interet|pret immobilier|epargne|tva|\
        placement*|rendement|actionnaire*|banque*|bolsa de valores|impuesto*|tipo de interes|\
        tasa de interes|prestamo*|hipoteca*|inversion*|invertir|inflacion|ahorro*|azioni|tasse|mutuo|\
        prestito|investiment*|tasso di interesse|imposto*|emprestimo*|juros|belasting*|hypotheek|\
        beleggen|rente|podatek|podatk*|kredyt*|inwest*|акци*|налог*|кредит*|инвест*|банк*|инфляц*|\
        aktier|skatt*|ranta|bolan|hisse senedi|yatirim*|vergi*|faiz*|股票|投资|贷款|利率|税|银行|基金|通货膨胀|株式|投資|税金|\
        金利|銀行|融資|ローン|주식|투자|세금|대출|금리|은행|*أسهم*|*استثمار*|*ضريبة*|قرض|بنك|निवेश*|ब्याज*|शेयर*|लोन*|बैंक*|\
        หุ้น|ลงทุน|ภาษี|ดอกเบี้ย|μετοχ*|επενδυ*|φορο*|δανει*|επιτοκι*|pension*|credit rating|\
        central bank|federal reserve|gdp|recession|ipo|venture capital|depreciation|amortiz*|\
        capital gains|deductib*|payroll|wire transfer|overdraft|refinanc*|futures contract|\
        derivatives market|volatility|sparplan*|rentenversicherung|lohnsteuer|retraite|compte bancaire|\
        crypto-monnaie|pension de jubilacion|cuenta bancaria|pensione|conto corrente|aposentadoria|\
        conta bancaria|pensioen|emerytur*|пенси*|вклад*|养老金|汇率|理财|年金|為替|貯金|연금|환율|저축|*راتب*|emekli*|doviz",
    ),
    (
        Topic::Finance,
        1.5,
        "stock|bank|banking|tax|bond|bonds|budget|revenue|insurance|audit|invoice*|currency|yield|\
        interest|debt|payment|price-to-earnings|profit|savings|konto|versicherung*|inflationsrate|\
        credit|bilan|assurance|credito|interes*|banco|conto|banca|seguro|verzekering|bank*|pieniad*|\
        страхов*|бюджет*|保险|予算|保険|보험|예산|*ميزانية*",
    ),
    (
        Topic::Science,
        3.0,
        "physics|chemistry|biology|quantum|molecule*|photosynthesis|thermodynamic*|electron*|proton*|\
        neutron*|dna|rna|enzyme*|mitochondri*|black hole*|galaxy|galaxies|theorem|equation*|polynomial*|\
        integral|derivative|prime number*|probability|relativity|isotope*|chemical|genetic*|evolution|\
        species|planet*|solar system|algebra|geometry|calculus|gravity|gravitational|triangle|velocity|\
        astronom*|ecosystem*|periodic table|\\frac|\\sqrt|square root|hypotenuse|math|mathematics|\
        matrix|statistics|physik*|chemie|biologie|quanten*|molekul*|fotosynthese|photosynthese|\
        schwerkraft|*gleichung*|wahrscheinlichkeit|primzahl*|dreieck*|mathematik|physique|chimie|\
        quantique|planete*|photosynthese*|gravite|probabilite|mathematiques|derivee|fisica|quimica|\
        biologia|cuantic*|molecula*|fotosintesis|gravedad|ecuacion*|probabilidad|matematicas|triangulo*|\
        chimica|quantistic*|pianeta|fotosintesi|equazion*|matematica|equacao|fotossintese|natuurkunde|\
        scheikunde|zwaartekracht|vergelijking*|fizyk*|chemia|fotosyntez*|rownani*|физик*|хими*|биолог*|\
        квант*|атом*|планет*|фотосинтез*|уравнен*|математик*|fysik*|kemi|fotosyntes*|ekvation*|fizik|\
        kimya|gezegen*|fotosentez|denklem*|物理|化学|生物|量子|原子|行星|数学|光合作用|方程|概率|惑星|光合成|確率|化學|물리|화학|생물|양자|행성|\
        광합성|수학|확률|방정식|*فيزياء*|*كيمياء*|*معادلة*|*التمثيل الضوئي*|भौतिक*|प्रकाश संश्लेषण*|गणित*|ฟิสิกส์|\
        เคมี|สังเคราะห์แสง|คณิต|φυσικ*|χημει*|φωτοσυνθεσ*|εξισωσ*|boiling point|melting point|sky blue|\
        rainbow*|chemical reaction*|jupiter|saturn|comet*|asteroid*|telescope*|orbit*|dinosaur*|\
        volcano*|earthquake*|fossil*|mammal*|rectangle*|diagonal|diameter|nucleus|photon*|magnetic|\
        entropy|vitamin*|hormone*|neuron*|ecolog*|geolog*|botan*|zoolog*|monde|vulkan*|erdbeben|\
        saugetier*|rechteck*|lunes|tremblement de terre|volcan*|dinosaure*|lunas|terremoto*|luna di|\
        vulcano|terremoti|ksiezyc*|wulkan*|вулкан*|землетряс*|спутник*|динозавр*|火山|地震|卫星|衛星|恐竜|恐龙|위성|\
        화산|지진|공룡|*كوكب*|*بركان*",
    ),
    (
        Topic::Science,
        1.0,
        "atom*|cell|cells|energy|force|mass|temperature|experiment*|climate|acid|protein*|ocean*|earth|\
        sun|moon|light|prove|proof|solve|calculate|compute|integer*|number of|sum of|speed of light|\
        animal*|plant|plants|radius|zelle*|energie|cellule*|energia|celula*|kraft|температур*|энерг*|能量|\
        温度|エネルギー|에너지|온도|moons|stars|bird*|insect*|fish|water|gas|liquid|metal*|heat|simplify|angle*|\
        square|tier|tiere|pflanze*|wasser|animaux|animal|eau|agua|acqua|star|вода|животн*|растени*|水|动物|\
        動物|植物|동물|식물",
    ),
    (
        Topic::Technology,
        3.0,
        "software|python|javascript|typescript|java|kotlin|golang|c++|c#|php|sql|postgresql|mysql|regex|\
        docker*|kubernetes|linux|android|iphone|cpu|gpu|machine learning|neural network*|algorithm*|\
        encryption|router|wifi|wi-fi|browser|database*|api|rest api|html|css|react|git|github|cloud|aws|\
        azure|server|servers|programming|compiler|source code|unit test*|refactor*|codebase|\
        microservice*|frontend|backend|bash|stack trace|traceback|artificial intelligence|chatbot|llm|\
        semiconductor*|blockchain|http|https|tcp|ip address|dns|vpn|operating system|computer*|\
        cybersecurity|firewall|bluetooth|smartphone*|laptop*|rust|rechner|datenbank*|netzwerk*|\
        programmier*|quellcode|ordinateur*|logiciel*|base de donnees|reseau informatique|programmation|\
        ordenador*|base de datos|servidor*|programacion|computador*|banco de dados|rete neurale|\
        programmazione|programowani*|baza danych|bazy danych|компьютер*|сервер*|программ*|алгоритм*|\
        базы данных|базу данных|dator*|programvara|databas*|bilgisayar*|yazilim*|veritabani*|数据库|服务器|软件|\
        代码|编程|算法|电脑|人工智能|データベース|サーバー|ソフトウェア|プログラム|コード|アルゴリズム|パソコン|데이터베이스|서버|소프트웨어|코드|프로그램|알고리즘|컴퓨터|\
        *حاسوب*|*برمج**|*خادم*|कंप्यूटर*|सॉफ्टवेयर*|คอมพิวเตอร์|ซอฟต์แวร์|υπολογιστ*|λογισμικ*|\
        serveur web|postgres|dynamodb|mongodb|redis|kafka|elasticsearch|webpack|node app|node.js|vue|\
        angular|django|flask|wasm|webassembly|graphql|oauth|jwt|ssl|tls|ssh|usb|ssd|ram|bandwidth|5g|\
        data center|open source|spreadsheet|excel|file system|load balancer|terraform|ansible|gitlab|\
        jenkins|raspberry pi|3d print*|drone*|self-driving|betriebssystem|festplatte|verschlussel*|\
        systeme d'exploitation|disque dur|sistema operativo|disco duro|операционн*|браузер*|интернет|\
        互联网|手机|浏览器|ブラウザ|インターネット|스마트폰|인터넷|*إنترنت*|internet*",
    ),
    (
        Topic::Technology,
        1.5,
        "code|function|bug|debug*|app|apps|website|network*|endpoint*|script|json|compile*|\
        data structure*|engine|sensor*|circuit*|bridge design|robot*|battery|deploy*|query|cache|thread|\
        threads|mutex|async|class|array|program|programm*|skript|programme|codigo|programa|funktion|\
        fonction|funcion|codice|funzione|funcao|функци*|код|скрипт*|kod|函数|程序|脚本|関数|スクリプト|함수|스크립트|網絡|网络|\
        ネットワーク",
    ),
    (
        Topic::Business,
        3.0,
        "marketing|business plan|startup*|stakeholder*|swot|kpi|kpis|supply chain|human resources|\
        job interview|cover letter|competitor*|market share|business model|product launch|go-to-market|\
        b2b|saas|sales team|sales pitch|customer service|customer support|customer feedback|\
        performance review|project manage*|entrepreneur*|quarterly report|value proposition|job posting|\
        job description|brand|branding|negotiat*|onboarding|unternehmen*|kunden*|kunde|mitarbeiter*|\
        vertrieb|bewerbung*|geschaftsplan|besprechung*|gehaltserhohung|entreprise*|client|clients|\
        salarie*|reunion d'equipe|lettre de motivation|embauche|empresa*|cliente*|empleado*|ventas|\
        reunion de equipo|azienda*|aziendal*|clienti|dipendent*|vendite|riunione|funcionario*|vendas|\
        reuniao|bedrijf*|klanten|medewerker*|sollicitatie*|firma*|klient*|pracownik*|spotkani*|компани*|\
        клиент*|сотрудник*|маркетинг*|продаж*|бизнес*|foretag*|kund|kunder|medarbetar*|musteri*|sirket*|\
        calisan*|pazarlama|公司|客户|营销|员工|会议|销售|商业|会社|顧客|会議|営業|社員|マーケティング|取引先|회사|고객|회의|마케팅|직원|영업|*شركة*|\
        *عملاء*|*تسويق*|*موظف**|कंपनी*|ग्राहक*|บริษัท|ลูกค้า|การตลาด|εταιρει*|πελατ*|my resume|\
        resume for|slogan*|support ticket|pricing|profit margin*|supplier*|vendor*|job offer|our team|\
        annual report|press conference|shareholder meeting|logistics|procurement|recruit*|freelanc*|\
        trade fair|stellenanzeige*|angebot fur|mahnung|lieferant*|offre d'emploi|fournisseur*|devis|\
        oferta de trabajo|proveedor*|presupuesto para un cliente|offerta di lavoro|fornitor*|\
        vaga de emprego|fornecedor*|vacature|leverancier*|oferta pracy|dostawc*|ваканси*|поставщик*|招聘|\
        供应商|求人|仕入先|採用|채용|공급업체|*وظيفة*|is ilani|tedarikci*",
    ),
    (
        Topic::Business,
        1.5,
        "customer*|sales|employee*|meeting*|manager|hiring|interview*|company|companies|business|client*|\
        salary|colleague*|agenda|workplace|product description|boss|team|ceo|retail|campaign|strategy|\
        promotion|office|chef|gehalt|salaire|sueldo|stipendio|salario|зарплат*|начальник*|parcel*|\
        shipping|delivery|prices|costs|cut costs|ticket|shop|store|bakery|product|products|order|orders|\
        market|award|contractor*|warehouse|refund*|laden|geschaft|firma|magasin|boutique|tienda|negocio|\
        negozio|loja|winkel|sklep|магазин*|商店|店铺|店舗|상점",
    ),
    (
        Topic::Humanities,
        3.0,
        "philosoph*|kant|plato|aristotle|nietzsche|shakespeare|renaissance|medieval|roman empire|\
        world war|french revolution|literature|literary|poem*|poet*|sonnet|haiku|painting*|painter*|\
        etymology|linguistic*|archaeolog*|mytholog*|ethic*|religion*|bible|history of|historian*|\
        civil war|ancient|dynasty|napoleon|sculpture|symphony|composer*|art history|anthropolog*|\
        grammar|theology|baroque|novel|novelist|geschichte|gedicht*|literatur*|weltkrieg|kaiser|\
        jahrhundert|malerei|litterature|poeme*|guerre mondiale|siecle|peinture|roman historique|\
        philosophie|poema*|filosof*|literatura|guerra mundial|pintura|siglo|letteratura|poesia*|pittura|\
        secolo|rinascimento|seculo|poesie|geschiedenis|wereldoorlog|gedicht|filozof*|histori*|wiersz*|\
        wojn*|истори*|философ*|литератур*|стих*|поэ*|войн*|век|historia|dikt|litteratur|varldskrig*|\
        tarih*|felsefe*|siir*|savas*|edebiyat*|历史|哲学|文学|诗|艺术|朝代|战争|唐朝|歴史|詩|芸術|俳句|江戸|戦争|역사|철학|문학|예술|전쟁|\
        조선|*تاريخ*|*فلسفة*|*قصيدة*|أدب|حرب|इतिहास*|कविता*|दर्शन*|साहित्य*|ประวัติศาสตร์|ปรัชญา|บทกวี|\
        ιστορι*|φιλοσοφ*|ποιημα*|λογοτεχν*|opera|operas|limerick*|orchestra*|ballet|cathedral*|pharaoh*|\
        goddess*|colonial*|sociolog*|impressionis*|mozart|beethoven|bach|odyssey|iliad|tragedy|stanza*|\
        rhyme*|proverb*|idiom*|psalm*|buddhis*|islam*|christian*|judaism|oper|sinfonie|maler|dichter|\
        opera lirica|musee|peintre|pintor*|pittore|музей|опера|художник*|歌剧|音乐|绘画|宗教|オペラ|絵画|仏教|오페라|종교|\
        불교|*موسيقى*|*رسام*",
    ),
    (
        Topic::Humanities,
        1.5,
        "history|empire|emperor|revolution|king|queen|century|art|artist*|music|musical|culture|cultural|\
        essay|poetry|church|language|theatre|krieg|kunst|kultur|guerre|roi|reine|art moderne|guerra|rey|\
        reina|cultura|arte|storia|re di|musica|kultura|музык*|культур*|文化|音楽|음악|문화|wars|the war|warfare",
    ),
];
