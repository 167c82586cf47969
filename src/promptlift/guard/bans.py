"""Table of what a person may rule out, and what would ask for it all the same."""

from __future__ import annotations

_ANY = r"(?: any| the| your)?"
_NO = (
    rf"(?:no|without(?: using| giving| adding| including)?{_ANY}|avoid(?: using)?{_ANY}|skip{_ANY}|leave out{_ANY}|"
    rf"(?:don'?t|do not|never) (?:use|give|add|include|write|show|put|want|need|make){_ANY}|not? (?:in|as))"
)
_LISTED = r"\b(?:bullets?|bullet points?|bulleted|numbered (?:list|steps)|tables?|headings?)\b"
_FUNNY = r"\b(?:slang|casual|informal|jok(?:e|es|ing|ey)|funny|silly|goofy|playful|chatty|humou?r(?:ous)?|emojis?)\b"
_STIFF = r"\b(?:formal (?:tone|language|style|register)|formal and|very formal|stiff|legal language|academic)\b"
_GRAVE = r"\b(?:solemn|sombre|somber|gloomy|tragic|serious tone|mournful|heartbreaking)\b"
_HARD = r"\b(?:technical (?:terms?|details?|language)|academic|jargon|peer-reviewed|advanced|equations|terminology)\b"
_PLAIN = r"\b(?:simple (?:words|terms|language)|eli5|to a (?:child|kid|\d+[- ]year)|for (?:kids|children))\b"
_LIKE_5 = r"\b(?:like|as if) i(?:'?m| am|m) (?:5|five)"
_EXPERT = r"\b(?:for (?:an? )?(?:experts?|specialists?|phds?)|expert level|i'?m an? (?:expert|phd))"
_BABY = r"\b(?:beginners?|basics|child|five-year-old|no background|everyday (?:comparison|analog))\b"
_NEW = r"\b(?:rewrite|correct the|fix the)\b"
_LONG = r"\b(?:in (?:more )?(?:depth|detail)|comprehensive\w*|at length|as long as|exhaustive\w*|thorough\w*)\b"
_SHORT = r"\b(?:keep it (?:very )?(?:short|brief)|in (?:a|one) (?:single )?(?:sentence|line|word)|as brief(?:ly)?)\b"
_US, _UK = r"\b(?:american|us) (?:english|spelling)", r"\b(?:british|uk) (?:english|spelling)"
_FORMAL = (
    r"\b(?:formal(?:ly)?|professional(?:ly)?) (?:tone|style|e-?mail|letter|report|speech|request|complaint|notice)"
)
_CASUAL = r"\b(?:casual|informal|chatty) (?:tone|style|e-?mail|message|text|note)\b"
_SAD = r"\b(?:eulogy|condolences?|sympathy (?:card|note|letter)|sad (?:poem|story|song)|funeral speech)"
_MERRY = r"\b(?:funny|hilarious|silly|comic|slapstick|punchlines?)\b"
_COMIC = r"\b(?:funny|humorous|hilarious|silly|light-?hearted) \w+"
_ONCE, _NOW = r"\b(?:in|use)(?: the)? past tense", r"\b(?:in|use)(?: the)? present tense"
_I, _THEY = r"\b(?:in|use)(?: the)? first[- ]person", r"\b(?:in|use)(?: the)? third[- ]person"

_BULLETS = r"(?:bullet(?:s|ed| points?)?|lists?)\b(?! (?:may|can|should))"
_UPPER = r"\b(?:upper ?-?case|capital\w*|all caps|title case)\b"
_IMPORTS = r"\b(?:librar(?:y|ies)|import|pandas|numpy|packages?)\b"
_RHYMELESS = r"\b(?:no|not|without(?: any)?|(?:do|does|should)n'?t)(?: have to| need to)? rhym\w*"
_TEXT = r"\b(?:bullets?|prose|paragraphs?|headings?|essay|poem|markdown table)\b"
_BE = r"\b(?:keep it|make it|be|sound)"
_DONT = r"\b(?:don'?t|do not|without)"
_FOR = r"\b(?:arguments?|case|points?) (?:for|in favou?r)\b"
_AGAINST = r"\b(?:arguments?|case|essay|speech|points?) against\b"
_ENDING = r"\b(?:the|its|how it) (?:ends?|ending|final twist|plot twist)\b"
_AT_LENGTH = r"\b(?:in (?:great |full )?(?:depth|detail)|as long as possible|comprehensive)\b"
_FEW_WORDS = r"\b(?:in (?:a few|few) words|as short as possible|super short|very short(?:ly)?)\b"

# Name; what rules it out; what asks for it.
BANS: tuple[tuple[str, str, str], ...] = (
    ("bullets", rf"\b{_NO} {_BULLETS}", r"\b(?:bullet\w*|lists? of|numbered list|as a list)\b"),
    ("commas", rf"\b{_NO} commas?\b", r"\b(?:comma-separated|separated by commas|with commas|use commas)\b"),
    ("capitals", r"\b(?:all|in|only) (?:lower ?-?case|small letters)\b|\blower ?case only|\bno capitals?\b", _UPPER),
    ("examples", rf"\b{_NO} examples?\b", r"\b(?:examples?|illustrat\w+)\b"),
    ("a table", rf"\b{_NO} tables?\b", r"\btables?\b"),
    ("headings", rf"\b{_NO} (?:headings?|headers?|titles?)\b", r"\b(?:headings?|headers?|titled?)\b"),
    ("jargon", rf"\b{_NO} (?:jargon|technical (?:terms|words|language)|big words)\b", _HARD),
    ("code", rf"\b{_NO} (?:code|snippets?)\b(?! fence)", r"\b(?:code|snippets?|script)\b"),
    ("a library", rf"\b{_NO} (?:libraries|libs|imports|packages)\b", _IMPORTS),
    ("emojis", rf"\b{_NO} emojis?\b", r"\bemojis?\b"),
    ("another form", r"\b(?:haiku|free verse)\b", r"\b(?:stanzas|refrain|chorus|rhyming|couplets)\b"),
    ("rhyme", _RHYMELESS, r"\brhym(?:e|es|ing)\b"),
    ("numbers", rf"\b{_NO} (?:numbers|digits|figures|statistics)\b", r"\b(?:figures|statistics|numbers|percentages)\b"),
    ("formulas", rf"\b{_NO} (?:maths?|formulas?|equations?)\b", r"\b(?:formulas?|equations?|calculations?)\b"),
    ("another form", r"\b(?:in|as) (?:a |one )?(?:plain )?prose\b|\b(?:in|as) (?:one|a single|a) paragraph\b", _LISTED),
    ("another form", r"\b(?:as|in) (?:valid )?json\b", _TEXT),
    ("another form", r"\b(?:in|as) (?:a )?table\b", r"\b(?:bullet points|in prose|as an essay|no table|paragraphs)\b"),
    (
        "another form",
        r"\b(?:as|in|with|use) (?:a )?bullet(?:s| points| list)",
        r"\b(?:flowing text|(?:flowing|in) prose)\b",
    ),
    ("another tone", rf"{_FORMAL}|{_BE} (?:formal|professional|serious)\b", _FUNNY),
    ("another tone", _CASUAL, _STIFF),
    ("another tone", rf"{_BE} (?:casual|informal|chill|light|funny)\b", rf"{_STIFF}|{_GRAVE}"),
    ("another tone", _SAD, _MERRY),
    ("another tone", _COMIC, _GRAVE),
    ("an explanation", rf"{_DONT} (?:explain|explaining|explanations?)\b", r"\b(?:explain\w*|explanation)\b"),
    ("what is hard to read", rf"{_PLAIN}|{_LIKE_5}", rf"{_HARD}|\bin depth\b"),
    ("what beginners ask", _EXPERT, _BABY),
    ("a change", rf"{_DONT} (?:rewrit|chang|correct|fix)\w*+(?! [^.]*prompt)", _NEW),
    ("the end", rf"\b{_NO} spoilers?\b|\bspoiler[- ]free\b", _ENDING),
    ("brevity", _AT_LENGTH, _SHORT),
    ("length", _FEW_WORDS, _LONG),
    ("American English", _UK, _US),
    ("British English", _US, _UK),
    ("another tense", _ONCE, _NOW),
    ("another tense", _NOW, _ONCE),
    ("another person", _I, _THEY),
    ("another person", _THEY, _I),
    ("the other side", _AGAINST, _FOR),
    ("the other side", _FOR, _AGAINST),
)

_MEAT = r"meats?|chicken|beef|pork|bacon|ham|turkey|lamb|steaks?|sausages?|chorizo|pepperoni|mince"
_FISH = r"fish|seafood|salmon|tuna|shrimps?|prawns?|cod|anchov\w+"
_MILK = r"(?<!oat )(?<!soy )(?<!almond )(?<!coconut )(?<!plant )milk|cheeses?|butter|cream|yogh?urt|dairy"
_GRAIN = r"wheat|barley|rye|couscous|semolina|gluten|soy sauce"
_DRINK = r"alcohol\w*|wines?|beers?|vodka|rum|gin|whisk(?:e)?y|tequila|champagne|liqueurs?"
_COLOUR = r"colou?rs?|red|orange|yellow|green|blue|purple|pink|crimson|gold(?:en)?|scarlet|violet|amber"
_VEGAN = rf"{_MEAT}|{_FISH}|{_MILK}|eggs?|honey"

# What a banned thing, by its first letters, takes with it.
KINDS: dict[str, str] = {
    "nut": r"nuts?|almonds?|walnuts?|cashews?|pecans?|hazelnuts?|pistachios?|peanuts?",
    "meat": _MEAT, "fish": _FISH, "seafood": _FISH, "dairy": _MILK, "lactose": _MILK, "gluten": _GRAIN,
    "alcohol": _DRINK, "colour": _COLOUR, "color": _COLOUR, "vegan": _VEGAN, "vegetarian": rf"{_MEAT}|{_FISH}",
    "egg": r"eggs?|omelet\w*|meringue", "sugar": r"sugar|honey|syrup|candy",
    "oven": r"ovens?|bak(?:e|ed|ing)|roast(?:ed|ing)?",
    "equipment": r"equipment|dumbbells?|barbells?|kettlebells?|resistance bands?|machines?|weights",
    "gym": r"gym|barbells?|machines?", "weight": r"weights|dumbbells?|barbells?|kettlebells?",
    "screen": r"screens?|tv|television|tablets?|video games?|ipads?",
    "librar": r"librar(?:y|ies)|pandas|numpy|lodash|jquery|requests",
    "politic": r"politic\w*|elections?", "religio": r"religio\w*|prayers?|bible|church",
    "loop": r"loops?|for-loops?|while-loops?", "recurs": r"recurs\w+", "regex": r"regex\w*|regular expressions?",
    "math": r"maths?|equations?|formulas?", "link": r"links?|urls?", "name": r"names?", "quote": r"quotes?|quotations?",
    "adjective": r"adjectives?", "metaphor": r"metaphors?|similes?", "dialogue": r"dialogues?|dialog",
}  # fmt: skip
