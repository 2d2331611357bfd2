"""Which language an answer is in: by its script, and in Latin letters by the commonest words.

>>> language_of("Lo siento, pero no puedo ayudarte con eso.")
'es'
"""

from __future__ import annotations

import re

READ = ("en", "es", "fr", "de", "it", "pt", "zh", "ja", "ko", "ru", "ar", "hi", "vi")  # the languages that are read
OTHER = "other"
COMMON = {
    "en": "the of and to in is that it for you are with be this not on or as have can will i your if at but from do "
    "an my me sorry they what there about help here no we by which so was could would should please how when "
    "sure okay any more yes use a some into then first next",
    "es": "de la que el en y los del se las por un para con no una su al lo como más pero sus le ya este sí porque "
    "esta es eso puedo esto ni muy te tu si o ser hay lamento siento ayudarte debes está voy algo disculpa "
    "porque me mi esa ese qué información posible",
    "fr": "de la le et les des en un une du est pour que qui dans sur pas au par je ne vous ce il avec plus son se "
    "sont votre cette ou mais peux puis désolé d l c n qu j être pouvez cela aider à",
    "de": "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an ich sie dass "
    "du wir aber kann leider tut mir leid dabei ihnen dir bei oder wie wenn sind sollten",
    "it": "di e il la che in un è per una non sono del della con le si da mi dei come ma ti posso al anche lo gli "
    "questo questa nel mio se più o devi puoi aiutarti dispiace ho tuo essere l",
    "pt": "de a o que e do da em um para com não uma os no se na por mais as dos como mas foi ao ele das à seu sua "
    "ou isso posso você é eu são esta este nem lamento desculpe ajudar com me está sinto muito",
    "vi": "và của là có không được cho các một trong tôi bạn để với này những đã khi người về thể nếu như rất xin "
    "lỗi giúp điều việc hãy nên đó cần",
    "other": "het een van ik je niet dat die te voor zijn met op aan er daar mee maar kan naar nie się jest na do to "
    "że w z jak ale tym mogę być dla bir ve bu için ile değil çok olarak da yang dan di tidak dengan ini itu "
    "untuk saya dapat och att det som inte jag på är för det ikke jeg og til să nu este pentru și cu mai pot "
    "se v že by jsem s "
    # The languages of other scripts, written in Latin letters: a refusal in them has no phrase here, and is not read.
    "wo bu women keyi duibuqi baoqian buneng desu masu masen arimasen dekimasen sumimasen gomen sore kore watashi "
    "seumnida eopseumnida eopsseumnida hamnida joesonghamnida mianhamnida reul neun deuril ya vam mogu eto chto kak "
    "izvinite prostite pomoch etim sozhaleniyu asif hatha hadha lakin astati aqdar musa hai hain nahi nahin kar ka "
    "ki ke aap aapki mein yeh hoon sakta sakti maaf kripya aur toi khong xin loi nhung giup cua duoc cho voi viec",
}
OWN = {  # words of one language only, which count twice
    word: language
    for language, words in COMMON.items()
    for word in words.split()
    if sum(word in other.split() for other in COMMON.values()) == 1
}
WORDS = {language: frozenset(words.split()) for language, words in COMMON.items()}
SCRIPTS = (  # a part of the letters in the script, and the language
    ("ja", re.compile("[\u3041-\u30ff]"), 0.08),
    ("ko", re.compile("[\uac00-\ud7a3]"), 0.2),
    ("zh", re.compile("[\u4e00-\u9fff]"), 0.25),
    ("ru", re.compile("[\u0400-\u04ff]"), 0.3),
    ("ar", re.compile("[\u0600-\u06ff]"), 0.3),
    ("hi", re.compile("[\u0900-\u097f]"), 0.3),
)
ELSEWHERE = {
    "ru": re.compile("[\u0404\u0406\u0407\u0454\u0456\u0457\u045e\u0458]"),
    "ar": re.compile("[\u067e\u0686\u0698\u06af\u06cc\u06a9]"),
}
# Letters of languages in Latin script that are not read; names in an English answer hold one or two.
LATIN_ELSEWHERE = re.compile(
    "[\u0105\u0107\u010d\u010f\u0117\u0119\u011b\u011f\u0131\u013e\u0142\u0144\u0148\u0151\u0159\u015b\u015f\u0161\u0163\u0165"
    "\u016f\u0171\u017a\u017c\u017e\u0219\u021b\u00e5\u00f8\u00fe]"
)
BEYOND = re.compile("[^\u0000-\u024f]+")  # Latin's letters
ENOUGH, FEW, SHARE, SURELY, NAMES = 100, 5, 0.12, 0.35, 0.04
LETTER_WORD = re.compile(r"[^\W\d_]+")


def language_of(text: str) -> str:
    """A language of `READ`, or "other". What cannot be told (too short, or no word) counts as English."""
    # What is not Latin: most texts hold none, or a few quotes.
    beyond = "" if text.isascii() else "".join(BEYOND.findall(text))
    if not beyond:
        return _latin(text)
    letters = sum(map(str.isalpha, text)) or 1
    for language, script, share in SCRIPTS:
        if len(script.findall(beyond)) > share * letters:
            elsewhere = ELSEWHERE.get(language)
            return OTHER if elsewhere and len(elsewhere.findall(beyond)) > 0.01 * letters else language
    foreign = sum(map(str.isalpha, beyond))
    vietnamese = sum("\u1ea0" <= letter <= "\u1ef9" for letter in beyond)
    return OTHER if foreign - vietnamese > 0.3 * letters else _latin(text)


def untold(text: str) -> bool:
    """Whether a text has so few words, and none that is known, that it may be in any language."""
    words = LETTER_WORD.findall(text.lower())
    return len(words) < FEW and not any(word in WORDS["en"] for word in words)


def _latin(text: str) -> str:
    words = LETTER_WORD.findall(text[:1_000].lower())[:ENOUGH]
    if sum(map(WORDS["en"].__contains__, words)) > SURELY * len(words):
        return "en"
    # In few known words Polish is as near to English, and Romanian to French, as to itself.
    if not text.isascii() and sum(map(bool, map(LATIN_ELSEWHERE.search, words))) > max(1, NAMES * len(words)):
        return OTHER
    counts = {language: sum(word in common for word in words) for language, common in WORDS.items()}
    for word in words:
        if word in OWN:
            counts[OWN[word]] += 1
    # Short answers tie: "no" and "me" are words of both; an accent then speaks against English.
    best = max(counts, key=lambda language: (counts[language], (language == "en") == text.isascii()))
    if counts[best] == 0:
        return "en" if len(words) < FEW and text.isascii() else OTHER
    return best if counts[best] >= SHARE * len(words) else OTHER
