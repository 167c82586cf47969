"""English is told from other languages: on short, misspelt, mixed and foreign prompts."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptlift import language
from promptlift.language import is_english, language_of

FOREIGN = [
    ("de", "wie backe ich ein brot ohne hefe"),
    ("de", "Schreibe eine E-Mail an meinen Chef"),
    ("de", "Was ist der Unterschied zwischen Aktien und Anleihen?"),
    ("de", "erklär mir bitte kurz die relativitätstheorie"),
    ("de", "gib mir drei ideen für ein abendessen"),
    ("de", "Kannst du diesen Text zusammenfassen und verbessern"),
    ("fr", "écris un poème sur l'automne"),
    ("fr", "comment faire une tarte aux pommes"),
    ("fr", "explique la photosynthèse à un enfant de dix ans"),
    ("fr", "Quelle est la différence entre un avocat et un notaire ?"),
    ("fr", "donne moi des idees de cadeaux pour ma mere"),
    ("es", "escribe un correo para mi jefe"),
    ("es", "cuáles son las mejores playas de España"),
    ("es", "como puedo aprender a tocar la guitarra rapido"),
    ("es", "Resume el siguiente texto en tres frases"),
    ("es", "dame una receta de paella para cuatro personas"),
    ("it", "come si prepara il tiramisù in casa"),
    ("it", "scrivi una lettera di presentazione per un lavoro"),
    ("it", "spiegami la differenza tra mutuo e prestito"),
    ("it", "qual è la capitale della Mongolia"),
    ("pt", "como fazer um bolo de cenoura"),
    ("pt", "escreva um texto sobre o meio ambiente"),
    ("pt", "quais são os melhores livros para aprender inglês"),
    ("pt", "me explica a diferença entre juros simples e compostos"),
    ("nl", "schrijf een gedicht over de herfst"),
    ("nl", "hoe maak ik een goede pannenkoek"),
    ("nl", "wat is het verschil tussen een hond en een wolf"),
    ("nl", "geef me vijf tips om beter te slapen"),
    ("pl", "napisz wiersz o jesieni dla dzieci"),
    ("pl", "jak upiec chleb bez drożdży w domu"),
    ("pl", "wyjaśnij mi czym jest inflacja"),
    ("pl", "jaka jest różnica między psem a wilkiem"),
    ("id", "buatkan saya puisi tentang hujan"),
    ("id", "bagaimana cara membuat nasi goreng yang enak"),
    ("id", "jelaskan perbedaan antara saham dan obligasi"),
    ("id", "tolong tuliskan surat lamaran kerja untuk saya"),
    ("tr", "bana sonbahar hakkında bir şiir yaz"),
    ("tr", "evde ekmek nasıl yapılır anlat"),
    ("tr", "hisse senedi ile tahvil arasındaki fark nedir"),
    ("vi", "viết cho tôi một bài thơ về mùa thu"),
    ("vi", "làm thế nào để nấu phở ngon"),
    ("vi", "giải thích sự khác nhau giữa cổ phiếu và trái phiếu"),
    ("sv", "skriv en dikt om hösten för barn"),
    ("sv", "hur lagar man en god köttgryta"),
    ("da", "skriv et digt om efteråret til min mor"),
    ("no", "hvordan baker jeg brød uten gjær"),
    ("fi", "kirjoita runo syksystä lapsille"),
    ("fi", "miten leivon leipää ilman hiivaa"),
    ("cs", "napiš báseň o podzimu pro děti"),
    ("ro", "scrie o poezie despre toamnă pentru copii"),
    ("hu", "írj egy verset az őszről gyerekeknek"),
    ("ca", "escriu un poema sobre la tardor per als nens"),
    ("tl", "sumulat ka ng tula tungkol sa ulan"),
    ("sw", "andika shairi kuhusu mvua kwa watoto"),
    ("ms", "tuliskan sebuah sajak tentang hujan untuk kanak-kanak"),
    ("hr", "napiši pjesmu o jeseni za djecu"),
    ("ru", "напиши стихотворение про осень"),
    ("ru", "в чём разница между акциями и облигациями"),
    ("uk", "напиши вірш про осінь для дітей"),
    ("bg", "напиши стихотворение за есента за деца"),
    ("el", "γράψε ένα ποίημα για το φθινόπωρο"),
    ("zh", "写一首关于秋天的诗"),
    ("zh", "股票和债券有什么区别？"),
    ("ja", "秋についての詩を書いてください"),
    ("ja", "美味しいカレーの作り方を教えて"),
    ("ko", "가을에 대한 시를 써 주세요"),
    ("ko", "주식과 채권의 차이를 설명해줘"),
    ("ar", "اكتب قصيدة عن الخريف للأطفال"),
    ("ar", "ما الفرق بين الأسهم والسندات"),
    ("he", "כתוב שיר על הסתיו לילדים"),
    ("th", "เขียนบทกวีเกี่ยวกับฤดูใบไม้ร่วง"),
    ("hi", "शरद ऋतु पर एक कविता लिखो"),
    ("bn", "শরৎ নিয়ে একটি কবিতা লেখো"),
    ("ta", "இலையுதிர் காலம் பற்றி ஒரு கவிதை எழுது"),
    ("fa", "یک شعر درباره پاییز بنویس"),
    ("es", "haz una lista de 5 startups de IA y su website"),
    ("fr", "fais un script python qui lit un fichier csv et affiche les lignes"),
    ("de", "schreib mir ein python script das eine csv datei liest und plottet"),
    ("pt", "crie uma função em javascript que soma dois números"),
    ("it", "scrivi una funzione python che inverte una stringa"),
    ("sk", "napíš báseň o jeseni pre deti v škole"),
    ("lt", "parašyk eilėraštį apie rudenį vaikams"),
    ("et", "kirjuta luuletus sügisest lastele palun"),
    ("sl", "napiši pesem o jeseni za otroke"),
]
ENGLISH = [
    "translate 'bonjour le monde' to english",
    "translate to french: i love you so much",
    "translate: je voudrais un café",
    'what does "c\'est la vie" mean',
    "how do u say good morning in german",
    "wat is teh meaning of lief",
    "gimme ideas 4 bday",
    "pizza dough recipe",
    "best pizza napoli",
    "python list comprehension",
    "sql inner join vs left join",
    "regex email validation",
    "explane fotosynthesis",
    "xbox vs ps5",
    "lasagna bolognese ingredients",
    "what is the difference between ser and estar",
    "correct my spanish: yo soy ir a la tienda mañana",
    "hola, can you help me with my homework",
    "quicksort in java",
    "nginx 502 bad gateway docker compose",
    "haiku autumn",
    "who was napoleon bonaparte",
    "what does 你好 mean",
    "translate 我今天很高兴见到你 to english",
    "summarize this: Der Hund ist sehr alt und schläft den ganzen Tag auf dem Sofa",
    "names for a bakery",
    "tldr",
    "hi",
    "ml engineer interview prep",
    "croissant vs bagel calories",
    "react usestate useeffect example",
    "fibonacci",
    "def add(a,b): return a+b",
    "pros cons remote work",
    "marie curie biography",
    "capital mongolia",
    "cv vs resume",
    "tel aviv to dubai flight",
    "schadenfreude definition",
    "lorem ipsum generator",
    "kubernetes pod crashloopbackoff",
    "vegan lunchbox ideas kids",
    "logo slogan coffee shop berlin",
    "es6 arrow functions",
    "anniversary gift husband",
    "my code dont work pls",
    "synonyms happy",
    "linkedin headline data analyst",
    "itinerary rome florence venice",
    "tagline bakery",
    "sad breakup playlist",
    "mnemonic planets",
    "leetcode two sum",
    "fetch api post json",
    "dinner chicken rice",
    "workout dumbbells beginner",
    "cover letter barista",
    "excel vlookup",
    "poem dog",
    "trivia night team names",
    "instagram caption sunset beach",
    "Como esta usted meaning",
    "déjà vu why",
    "Ubuntu sudo apt install error",
]
# Told from each other by little: to leave a prompt alone, either name will do.
KIN = [
    {"id", "ms"},
    {"no", "da", "nn", "sv"},
    {"hr", "sr", "bs", "sh", "sl"},
    {"cs", "sk"},
    {"ru", "uk", "bg"},
    {"pt", "gl", "es"},
]


def test_at_least_95_percent_of_foreign_prompts_are_caught() -> None:
    missed = [text for _, text in FOREIGN if is_english(text)]
    assert len({code for code, _ in FOREIGN}) >= 12
    assert len(missed) <= 0.05 * len(FOREIGN), missed


def test_the_language_is_named_right() -> None:
    wrong = [
        (code, language_of(text))
        for code, text in FOREIGN
        if language_of(text) != code and not any({code, language_of(text)} <= kin for kin in KIN)
    ]
    assert len(wrong) <= 0.05 * len(FOREIGN), wrong


@pytest.mark.parametrize("text", ENGLISH)
def test_no_english_prompt_is_called_foreign(text: str) -> None:
    assert is_english(text)


@pytest.mark.parametrize(
    "text", ["", " ", "42", "?!", "```\nx = 1\n```", "\ud800", "\0", "x", "https://ein.de/und/das"]
)
def test_nothing_to_read_is_unsure(text: str) -> None:
    assert language_of(text) == "und" and is_english(text)


def test_only_the_ends_of_a_long_text_count() -> None:
    german = "Der Hund ist sehr alt und schläft den ganzen Tag auf dem Sofa. " * 400
    assert is_english(f"Summarize this article in two sentences.\n\n{german}")
    assert language_of(german) == "de"


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(), max_size=300))
def test_never_raises(text: str) -> None:
    assert language_of(text)
    assert is_english(text) == (language_of(text) in ("en", "und"))


def test_without_the_model_function_words_and_scripts_still_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "_detector", lambda: lambda text: ("und", 0.0))
    assert language_of("why does the ice float") == "en"
    assert language_of("напиши стихотворение про осень") == "ru"
    assert is_english("wie backe ich ein brot")


def test_neither_import_nor_use_loads_the_downloader() -> None:
    code = "import sys, promptlift.language as l; l.language_of('wie backe ich brot'); print('requests' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
