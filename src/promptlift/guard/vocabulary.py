"""Word lists of the guard: what advice is made of, and what it should not bring along."""

from __future__ import annotations

REQUESTS = frozenset(
    """give say use write keep start begin put name answer state list open go explain make speak choose take let stay
    add tell define show recommend describe end number follow compare treat thank pick return finish mention
    include close group decide order check replace cover leave label reply offer suggest split lay lead skip
    break repeat ask apologise apologize weigh judge look have point provide greet address invent tie mark
    arrange find call restate retell connect welcome admit praise announce discuss handle quote respond imagine
    sympathize sympathise play swap confirm avoid catch divide save count run propose walk warn plan set argue
    pair place fill comfort support calculate solve work help rewrite summarise summarize create design build
    draft act read estimate prove outline turn compose brainstorm pretend sum share sort distinguish comment
    conclude bring vary continue match improve correct evaluate refuse separate react revise convince concede
    contrast introduce present analyse analyze assess translate convert identify extract classify generate
    produce craft develop prepare organise organize structure format limit focus highlight illustrate
    demonstrate clarify simplify elaborate explore examine review debug fix refactor implement optimise optimize
    edit proofread paraphrase rephrase shorten expand polish report note ensure assume consider remember think
    don't do be please stick aim trace cite stop invite rank rate teach narrate portray depict capture paint
    balance link relate weave drop mix spell base talk groan shout lean apply assign lower guide raise rant coax
    preserve carry scold tighten trim soften sharpen recount emphasise emphasize stress favour favor prioritise
    prioritize reassure encourage persuade urge motivate inspire entertain evoke conjure unpack delve dive touch
    reflect ponder advise coach tailor adapt adjust customise customize personalise personalize retain maintain
    respect mirror mimic imitate echo annotate escalate alternate wrap reveal commentate rework concentrate
    condense merge blend contextualize contextualise recap restructure reorder rearrange reformat spot flag
    detail itemise itemize enumerate categorise categorize map throw come roast tease interpret infer verify
    validate double-check hint sketch situate ground anchor acknowledge honour honor celebrate criticise
    criticize critique deliver devise dig factor feature frame generalise hook immerse incorporate integrate
    narrow reword settle interview decline compute"""
    .split()
)  # fmt: skip

POINTING = frozenset(
    """message text code sentence query list email mail given paragraph question passage script snippet word phrase
    answer way kind person since whether neither against either despite instead already both""".split()
)
"""What a restatement may bring of its own: it points at a part of the prompt, or joins what the prompt says."""

DEMANDS = frozenset(
    """detail detailed briefly brief concise concisely clear clearly simple simply short shortly example examples step
    steps structure structured thorough thoroughly comprehensive comprehensively complete format formatted bullet
    bullets professional creative engaging specific accurate accurately""".split()
)
"""Demands on the answer: in a restatement only where the prompt makes them."""

# Those of them that an answer to "how do I ..." is as likely to begin with: no sign of asking there.
HANDWORK = frozenset(
    """put take place fill cover set turn mix leave lay hold check drop arrange cut save run keep use stop try start
    begin open close order pick pair walk play add apply avoid replace repeat move go let stay be lower raise
    wrap blend spot cook visit remember don't do remove count weigh tie link throw come end lean fix thank
    please"""
    .split()
)  # fmt: skip

STOP = frozenset(
    """a about above after again all also always am an and any anyone anything are aren't as at away back be because
    been before being below between both but by can can't cannot could did didn't do does doesn't doing don't done
    dont down each either else enough etc even ever every everyone everything few for from get gets getting give go
    going good got had has have having he hello help her here hers hey hi him his how i i'd i'll i'm i've if im in
    into is isn't it it's its just kind know least less let let's like little lot lots made make makes making many
    may maybe me mean might mine more most much must my need needs never new no not nothing now of off ok okay on
    once one ones only or other others our out over own please pls plz put really right said same say see set she
    should so some someone something sort still such sure tell than thank thanks that that's the their them then
    there these they thing things think this those though through to too try two under until up us use used using
    very want wants was way ways we we're well were what what's whats when where whether which while who whom whose
    why will with within without won't would write yes yet you your you're yours explain describe list show idk u ur
    r bc ppl tho lol hmm stuff cant wont gonna wanna actually basically best better best bit people person time day
    today work first last long short around kinda pretty anyway""".split()
)

NUMBER_WORDS = {
    word: str(number)
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven "
        "twelve thirteen fourteen fifteen sixteen seventeen "
        "eighteen nineteen twenty".split()
    )
} | {"thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "hundred": "100", "thousand": "1000", "dozen": "12"}

# Capitalised words that any rewrite may bring: formats, languages of instruction, days and months.
COMMON_NAMES = frozenset(
    """i i'm i'd i've i'll markdown json csv html css xml yaml pdf sql tsv latex unicode ascii english british american
    ok faq faqs cta tl dr tldr id ids url urls api ui seo pin ps p.s q a b c d e x y z monday tuesday wednesday
    thursday friday saturday sunday january february march april may june july august september october november
    december mr mrs ms dr sir madam internet web wi-fi gps usb cpu tv ceo hr pr roi kpi kpis diy dna cv gpa null
    none true false select from where join group order by with not in and or if else for while pro pros con cons vs
    eu uk us usa earth sun moon internet christmas easter greek roman latin german french spanish italian chinese
    japanese european american african asian bible ai it tv god empire""".split()
)  # fmt: skip

# Names that a prompt about code may well be answered with, though it names none.
TECH_NAMES = frozenset(
    """python javascript typescript java node.js node react excel android windows linux macos mac ios postgresql
    postgres mysql sqlite mongodb redis docker git github bash powershell html5 pandas numpy dataframe flask
    django fastapi express google sheets chrome firefox safari c c++ go rust php ruby vba lua http https rest
    json vue angular svelte next.js nuxt tailwind bootstrap jquery webpack vite npm yarn kubernetes terraform
    ansible aws azure gcp pytest jest kotlin swift dart flutter scala perl matlab julia graphql graph postman
    vscode vs code jupyter spark hadoop kafka nginx apache spring laravel rails wordpress iphone ipad macbook
    samsung outlook gmail word powerpoint""".split()
)  # fmt: skip

# Artefacts: what a word in the addition asks for, and what in the prompt makes that a fitting request.
ARTEFACTS: dict[str, tuple[str, str]] = {
    "code": (
        r"\b(?:(?<!dress )(?<!area )code(?! of)|python|javascript|java|"
        r"c\+\+|sql|html|css|regex|unit tests?|docstrings?|"
        r"well-commented|runnable|quer(?:y|ies)|pseudo-?code|import statements?|(?:helper|main) functions?|compil\w+|stack trace|schema)\b",
        r"\b(?:cod(?:e|ing|ed)\w*|program\w*|python|py|java\w*|js|ts|"
        r"typescript|c\+\+|c#|rust|go|golang|php|ruby|perl|kotlin|"
        r"swift|sql|mysql|postgres\w*|sqlite|quer(?:y|ies)|databases?|db|"
        r"tables?|rows?|columns?|joins?|html|css|regex\w*|"
        r"scripts?|bash|shell|powershell|cmd|terminal|command|functions?|"
        r"class(?:es)?|methods?|loop\w*|arrays?|lists?|dicts?|"
        r"variables?|bugs?|debug\w*|errors?|exceptions?|traceback|compil\w*|"
        r"api|endpoint|json|csv|xml|ya?ml|excel|sheets?|"
        r"spreadsheets?|formulas?|vba|macro|docker\w*|kubernetes|k8s|git\w*|"
        r"linux|ubuntu|server|website|web|page|app|react\w*|"
        r"vue|angular|node\w*|django|flask|fastapi|pandas|numpy|django|"
        r"jinja\w*|template|pytest|jest|test\w*|algorithm\w*|"
        r"recurs\w+|sort\w*|search|tree|stack|queue|hash\w*|pointer\w*|async\w*|thread\w*|\w+error|segfault|timer|build|repo|crash\w*|memory|bot|discord|arduino|"
        r"raspberry|sensor|latex|r|matlab|parser?\w*|pars\w+|file\w*|null|none|nan|index\w*|backend|frontend|deploy\w*|"
        r"software|developer|computer|tech\w*|data|cron\w*|ssh|http\w*|url|"
        r"form|button|dialog|component|hook|state|unix|"
        r"refactor\w*|implement\w*|import|package|library|framework|fibonacci|"
        r"prime|palindrome|fizzbuzz|qr|password|scrap\w+)\b"
        r"|\bc\+\+|\bc#|\bsvg\b|[{}]|\w\(\w*\)|==|</",
    ),
    "poem": (
        r"\b(?:poems?|stanzas?|haikus?|sonnets?|limericks?|rhym(?:e|es|ing|"
        r"ed)|verses?|rhyme scheme|couplets?|iambic)\b",
        r"\b(?:poe(?:m|try|t|tic)\w*|stanza\w*|haiku\w*|sonnet\w*|limerick\w*|"
        r"rhym\w*|verses?|songs?|lyrics?|raps?|ballad|ode|"
        r"couplets?|lullab\w+|nursery|cards?|slogan\w*|jingle|acrostic|toast|"
        r"greeting|lines|birthday|chorus|hymn|villanelle|"
        r"epitaph|tongue.?twister|riddle\w*|creative|tanka|elegy|spell|chant|cheer)\b",
    ),
    "email": (
        r"\b(?:subject lines?|sign-?offs?|salutations?|e-?mail body|greeting line)\b",
        r"\b(?:e-?mail\w*|mails?|letters?|messages?|reply|repl\w+|"
        r"respon[ds]\w*|invit\w*|newsletter|apolog\w*|notice|memo|"
        r"announce\w*|complain\w*|boss|landlord|customer\w*|client\w*|tell|"
        r"write|ask|thank\w*|refus\w*|reject\w*|request\w*|"
        r"remind\w*|quit|resign\w*|application|apply|cover|note|dear|inform|"
        r"cancel\w*|campaign|outreach|follow.?up|pitch|"
        r"refund|template|send|draft|offer|ad|promo\w*|black friday)\b",
    ),
    "essay": (
        r"\b(?:thesis(?: sentence| statement)?|topic sentences?|counter-?arguments?)\b",
        r"\b(?:essays?|paragraphs?|thesis|introduction|argu\w+|papers?|"
        r"academic|report|abstract|conclusion|article|debate\w*|"
        r"persua\w+|speech|opinion|should|literature|review|study|studies|"
        r"dissertation|position|write|discuss|text|passage)\b",
    ),
    "marketing": (
        r"\b(?:call to action|call-to-action|taglines?|catchy headline|selling points?)\b",
        r"\b(?:ads?|advert\w*|market\w*|sell\w*|sale\w*|product|brand\w*|"
        r"slogan\w*|tagline|promot\w*|campaign|launch|posts?|insta\w*|"
        r"facebook|linkedin|twitter|tweets?|social|flyer|leaflet|poster|brochure|"
        r"newsletter|e-?mail\w*|mail|landing|website|page|shop|store|"
        r"customer\w*|business|company|pitch|copy|description|headline|banner|event|"
        r"invit\w*|press|announc\w*|crowdfund\w*|blog|bio|youtube|"
        r"podcast|seo|offer|discount|listing|letter|speech|persua\w*|convince|charity|fundrais\w*|donat\w*|name)\b",
    ),
    "recipe": (
        r"\b(?:ingredients?|oven temperature|cooking times?|servings|preheat)\b",
        r"\b(?:recipe\w*|cook\w*|bak(?:e|ing|ed|ery)\w*|meals?|dinner|lunch|"
        r"breakfast|food|dish\w*|eat\w*|soup|bread|cake\w*|"
        r"cookies?|pancakes?|pasta|rice|sauce|dessert|snack\w*|ingredient\w*|"
        r"drink\w*|cocktail\w*|salad|pizza|curry|diet\w*|"
        r"menu|grill\w*|chicken|beef|fish|vegan|vegetarian|sourdough|dough|stew|omelet\w*|roast\w*|smoothie\w*|kitchen|"
        r"vegetables?|tofu|kimchi|jam|pickle\w*|brew\w*|coffee|tea|lasagn\w*|"
        r"risotto|tiramisu|make|skincare|product|label|fry\w*"
        r"|potato\w*|egg\w*|fridge|leftover\w*|toast|pie|noodle\w*|lentil\w*|"
        r"bean\w*|ferment\w*|porridge|granola|banana|apple)\b",
    ),
    "story": (
        r"\b(?:protagonist|plot twist|(?:main|named|lead) characters?|the narrator|(?:short|bedtime) story|the hero|"
        r"scene by scene|chapters?|cliffhanger)\b",
        r"\b(?:stor(?:y|ies)|tales?|fiction|novel\w*|plot\w*|character\w*|"
        r"scene\w*|narrat\w*|fairy|bedtime|myth\w*|legend|"
        r"fable|screenplay|scripts?|dialog\w*|role.?play|pretend|act|play|"
        r"diary|monologue|movie|film|book|chapter|adventure|"
        r"fanfic\w*|hero\w*|villain\w*|imagine|write|comic|sketch|skit|game|"
        r"creative|talk\w*|conversation\w*|chat|speak|speech|"
        r"essay|history|podcast|interview|thesis|about|read\w*|series|show)\b",
    ),
    "imagery": (
        r"\b(?:sensory|rhythm|stanzas?|memorable (?:final|last|ending)|final (?:line|sentence)|"
        r"plot twist|character's)\b",
        r"\b(?:stor(?:y|ies)|tales?|fiction|novel\w*|poe(?:m|t|try|tic)\w*|verses?|songs?|lyrics?|raps?|ballad|ode|haiku\w*|"
        r"limerick\w*|sonnet\w*|rhym\w*|riddle\w*|jokes?|scene\w*|scripts?|screenplay|dialog\w*|narrat\w*|monologue|diary|"
        r"journal|legend|myth\w*|fairy|fable|imagine|pretend|act|role.?play\w*|play|you(?:'re| are) (?:a|an|the)|character\w*|"
        r"write|describ\w*|descripti\w*|tell|paint\w*|draw\w*|image\w*|pictures?|photo\w*|create|compose|generate|"
        r"creative|blog|posts?|review\w*|letters?|speech\w*|toast|essay|article|ads?|advert\w*|slogan\w*|caption\w*|"
        r"tagline\w*|travel|trip|visit|tour|museum|film|movie|book|opening|ending|plot|twist|rewrite|rephrase|paraphrase|"
        r"style|voice|game|character|twister|be (?:my|an?)|party|speech|what would|how would you|world|adventure|greeting|card|invit\w*)\b",
    ),
}

# Stems of words that advice on any topic is made of, so that the others tell the topic: what
# the light rewrites of 751 pairs brought along on two topics or more, and some added by hand.
ADVICE_STEMS = frozenset(
    """accura act action activ activi actual add addres admit advant advic advis afterw agains agre alon aloud alread
    altern amount analog animal annoy answ answer apart apolog appear approa argu argume arrang arriva ask
    aspect assum assump audien avoid backgr bad begin beginn behind belong benefi besid big block body book br
    bracke break breakf brief broken budget build bullet buy calcul call calm case casual catch catego caus
    certai chang charac check child choic choos claim clas claus clean clear clos clu clue code cold column com
    come comfor comman commen common compar compla comple compon comput concep concis conclu concre confir
    connec conseq contac contex contra convin cook copy core correc cost count courte cov cover criter cue
    curiou custom cut dai dat data date day deadli debat decid decisi defin defini dela demand depend descri
    deserv desk detail dialog diff differ dinn direct disadv disagr discus dish distan divisi doctor draw drawba
    dry dur duty ear easies easy effect effort elemen emotio empt end engag enjo equal error event everyd eviden
    exact exampl excit excus exit expect experi expert explai explan extra eye fact fail fair fall fast favour
    featur feel field figur fil file fill final find finish firm first- fit five fix flow follow formal format
    formul found four fresh friend full funn funnie gain gam game gap gent gentl giv given goe greet group grow
    gues guest guid habit hand handl happen hard hardes head hear help helpfu hidden hint histor hold home
    honest hook hope househ html humour hurt idea illnes imag imager imagin import improv includ ingred input
    insid instea instru intere introd invent invit item itself jargon job joke judg keep kept key kind know
    label langua law lawy lay lead learn leav led left length lett lie life light like limit lin line link list
    liv live local look los lov lunch made-u main mark match matt matter mean meet memb memor memora mentio
    messag metaph method mind minut mis miss mistak mix moment mone mood morn mov move moveme multip nam name
    natura near need new next night none normal not notic numb number object off often old one-li one-se open
    opinio option ord ordina origin outlin outsid overvi own page paragr parent part partic path pay paymen per
    person perspe phras pick pictur piec plac plain plan plant play playfu plot point polit polite popula positi
    possib practi prais prepar preven previe pric print priz proble proces profes proof proud prov pun puzzl
    qualit questi quick quicke quiet quot rain rath reach read real realis reason recomm redo refus releva
    remain rememb rep repeat replac reques rescu resour respon rest result retell return rewrit rhym rhythm ride
    risk riskie role rough row rul rule run runn runnab safe safest safet sampl sav save say scen schedu script
    seat second sectio see send sens senten separa seriou set-up sett settl setup severa shar shop short show
    sid side sight sign silent simila simp simpl simple singl situat six skip sleep slip slow slowes small smell
    soft solv sound sourc spac speak specia specif speech spoken stag stand start stat statem stay step stop
    stopp stor straig strang strate strong struct stud studen styl subjec sugges suit sum summar sunda suppor
    surpri switch tabl tak take talk task techni tell tens tensio term test text theor think though thre throug
    tie tim time timeli tiny tip titl togeth tomorr tone tool top topic total touch tr trac treat true turn typ
    type typica unchan unclea unders unknow urgent use useful usual valu verb verdic vers versio view visit
    vivid voic wait walk warm warn wat watch weak weakne wear week weigh went whatev wherev whol width win wise
    wish word work worr wors writ wrong year zero depth develo var well-c plu provid explor justif affect angl
    reveal carefu cas app purpos free precis care writte weav carr output rich even humor goal progre smooth
    worth protec diffic email anoth split feelin confid conver sensor sincer streng fear relax dramat behav
    illust round weight wide trick focu distin unexpe tru twist paint rang fitt condit equati afford spot past
    contai love gradua believ genuin swap gestur toward soluti warmth tast attent respec earn repair placeh
    reader outcom immedi sessio materi propos saving fami routin flexib punch heartf witt rais arguab misund
    requir untouc bring remov damag trigge settin scor confli involv updat likeli variet patter scal textur
    surfac punchl secret joy forwar tempt encour lesson humoro counte excite presen clev plent vary trustw
    appeal captur deep securi growth defend motiva cautio acros highli promis usag valid relati reassu troubl
    prid atmosp aliv measur findin long-t especi recogn doubt relat persua harm warnin gentle tend suspen perfec
    bigges energ downsi advent pressu real-l otherw larg powerf upbeat cheerf liveli guidan concer abstra pharma
    abstract concret major reinfo inner boss colour conten furth shift combin moral reacti balanc aim thorou
    seem""".split()
)
