"""Find street addresses and postcodes."""

import re
from collections.abc import Iterator

from model.redaction.spans import Span

LANGUAGES = ("en", "fr", "de", "pt", "ru", "es")
"""ISO 639 codes of the languages whose street addresses are found."""

_UPPER = "A-ZÀ-ÖØ-ÞА-ЯЁ"
_NAME = rf"[{_UPPER}](?:[^\W\d_]|['’.-]){{0,30}}+(?!\w)"
_LINK = (
    r"(?:d[aeo]s?|del|de la|de los|de las|de|du|des|of|la|le|les|los|las|el|l'|d'|y|e|et|von|der)"
)
_LINKED_NAME = rf"(?>(?:{_LINK}\s){{0,2}})(?:d'|l')?{_NAME}"
_NAMES = rf"{_LINKED_NAME}(?:\s{_LINKED_NAME}){{0,5}}"
"""Capitalised words; possessive and atomic, so that a text matches in one way only."""
_YEAR = r"(?:19|20)\d\d(?!\d)"

_STREET = (
    r"(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Court|Ct|Boulevard|Blvd|Square|Sq|Terrace"
    r"|Close|Crescent|Highway|Hwy|Parkway|Pkwy|Mews|Alley|Freeway|Expressway|Turnpike)"
)
_RARE_STREET = (
    r"(?:Annex|Arcade|Bayou|Beach|Bend|Bluffs?|Branch|Bridge|Brooks?|Burgs?|Bypass|Camp|Canyon|Cape"
    r"|Causeway|Centers?|Circles?|Cliffs?|Club|Common|Corners?|Course|Courts|Coves?|Creek|Crest"
    r"|Crossing|Crossroads?|Curve|Dale|Dam|Divide|Drives|Estates?|Extensions?|Falls?|Ferry|Fields?"
    r"|Flats?|Fords?|Forest|Forges?|Forks?|Fort|Gardens?|Gateway|Glens?|Greens?|Groves?|Harbors?"
    r"|Haven|Heights|Hills?|Hollow|Inlet|Islands?|Isle|Junctions?|Keys?|Knolls?|Lakes?|Land|Landing"
    r"|Lights?|Loaf|Locks?|Lodge|Loop|Mall|Manors?|Meadows?|Mills?|Mission|Motorway|Mount|Mountains?"
    r"|Neck|Orchard|Oval|Overpass|Parks?|Parkways|Pass|Passage|Path|Pike|Pines?|Place|Plains?|Plaza"
    r"|Points?|Ports?|Prairie|Radial|Ramp|Ranch|Rapids?|Rest|Ridges?|River|Roads|Route|Row|Rue|Run"
    r"|Shoals?|Shores?|Skyway|Springs?|Spurs?|Squares|Station|Stravenue|Stream|Streets|Summit"
    r"|Throughway|Trace|Track|Trafficway|Trail|Tunnel|Underpass|Unions?|Valleys?|Via|Viaduct|Views?"
    r"|Villages?|Ville|Vista|Walks?|Wall|Ways?|Wells?)"
)
"""The other suffixes of the United States Postal Service: they end other names too."""
_WORD = r"(?:[NSEW]|\d{1,3}(?:st|nd|rd|th)|[A-Z][\w'.-]{1,20})"
_ENGLISH = re.compile(
    rf"(?<![\w.,:/#$-])(?:\d{{1,6}}[A-Z]?(?:\s{_WORD}){{1,4}}?\s{_STREET}"
    rf"|(?!{_YEAR})\d{{3,6}}[A-Z]?(?:\s{_WORD}){{1,4}}?\s{_RARE_STREET})\.?(?![\w'’-])"
    r"(?:\s(?:NW|NE|SW|SE|N|S|E|W)(?!\w))?"
    r"(?:,?\s(?:Apt|Apartment|Suite|Unit|Ste|Flat|#)\.?\s?\w{1,6})?"
    rf"(?:,\s{_NAMES}(?:,?\s[A-Z]{{2}}(?!\w))?"
    r"(?:\s\d{5}(?:-\d{4})?|\s[A-Z]{1,2}\d[A-Z\d]?\s\d[A-Z]{2})?)?",
)
_HOUSE = r"(?:n\.?[º°o]\s?|num\.?\s|nº\s?)?(?:\d{1,5}[a-zA-Z]?(?!\w)(?:[/-]\d{1,4})?|S/N)"
_FLOOR = (
    r"(?:\s?,?\s(?:\d{1,2}\.?[ºªo°](?:\s?(?:Esq|Dto|Dir|Fte|Frente|[A-F])(?!\w))?\.?|apt[oº.]?\s?\d{1,5}"
    r"|(?:Puerta|Piso|Apt\.|Interior|Edif\.|Depto\.)\s?\d{1,4}"
    r"|(?:[A-F]|\d{1,2}[A-F])(?!\w))){0,2}"
)
_NO_COUNT = (
    r"(?!\s?(?:min|mins|minutos|m|km|h|hs|horas|x|a \d|anos|años|euros|€|%|vezes|veces|y|e)(?!\w))"
)
"""Excludes numbers that count something: `Plaza Mayor 20 min`."""
_IBERIAN = re.compile(
    r"(?<![\w./])(?:(?:Rua|Av\.?|Avda?\.?|Avenida|Travessa|Alameda|Largo|Praça|Praceta|Estrada|Calçada"
    r"|Beco|Rodovia|Ladeira|Viela|Rotunda|Calle|C/|Plaza|Paseo|Camino|Carretera|Ronda|Glorieta"
    r"|Callejón|Cuesta|Rambla|Urbanización|Pasaje|Pasadizo|Acceso|Cañada|Vial|Calzada|Privada|Cerrada)"
    rf"\s?(?:\d{{1,2}}[.º°]?\sde\s)?{_NAMES}(?:,\s|\s(?!{_YEAR}))"
    r"|(?:Aeroporto|Área|Campo|Chácara|Colônia|Condomínio|Conjunto|Distrito|Esplanada|Estação|Favela"
    r"|Fazenda|Feira|Jardim|Lago|Lagoa|Loteamento|Morro|Núcleo|Parque|Passarela|Pátio|Praia|Quadra"
    rf"|Recanto|Residencial|Setor|Sítio|Trecho|Trevo|Vale|Vereda|Via|Viaduto|Vila)\s{_NAMES},\s"
    rf"|(?:R\.|C\.|Vía|Via)\s?{_NAMES}(?:,\s|\s(?=\d{{1,4}}\s(?:Piso|Puerta|Apt)\W)))"
    rf"{_HOUSE}{_NO_COUNT}{_FLOOR}(?:\s?,\s{_NAMES}(?![^\W_]))?"
    rf"(?:,?\s(?:[A-Z]{{2,4}}\s)?\d{{4,5}}(?:-?\d{{3,4}})?(?!\w)(?:\s{_NAMES}(?:\s/\s[A-Z]{{2}})?)?)?",
)
_FRENCH = re.compile(
    r"(?<![\w.,:/-])\d{1,4}(?:\s?(?:bis|ter))?,?\s(?:rue|avenue|av\.|bd|boulevard|chemin|place"
    r"|impasse|allée|quai|route|cours|square|passage|sentier|faubourg)"
    rf"\s{_NAMES}(?:,?\s\d{{5}}\s{_NAMES})?",
)
_FRENCH_UNNUMBERED = re.compile(
    rf"(?<!\w)(?:rue|avenue|boulevard|chemin)\s{_NAMES},\s\d{{5}}\s{_NAMES}",
)
_GERMAN = re.compile(
    r"(?<![\w.-])(?:(?:[A-ZÄÖÜ][\wäöüß.-]{0,40}\s?(?:(?:(?<=-)|(?<=\s))[Ss]|s)tr(?:aße|asse|\.)"
    r"|[A-ZÄÖÜ][\wäöüß.-]{1,40}(?:weg|(?<!Park)(?<!Sitz)(?<!Steh)(?<!Stell)(?<!Start)platz|allee"
    # Excludes English words in -ring: "During 3 weeks", "Spring 12", "Ordering 2 pizzas".
    r"|(?<!Sack)gasse|(?<![aeiouyrpt])ring|damm|ufer|-Weg|-Platz|-Allee|-Gasse|-Ring)"
    rf"|[A-ZÄÖÜ][\wäöüß-]{{1,30}}\s(?:Allee|Weg|Platz|Ring|Gasse|Damm|Ufer))\s?(?!{_YEAR})"
    r"|(?:Am|An der|Im|In der|Zum|Zur|Auf der|Auf dem)\s[A-ZÄÖÜ][\wäöüß-]{1,30}\s"
    r"(?=\d{1,4}[a-z]?,\s\d{4,5}\s))"
    rf"\d{{1,4}}[a-z]?(?!\w)(?:[/-]\d{{1,4}}){{0,2}}(?:,\s\d{{4,5}}\s{_NAMES})?",
)
_RUSSIAN_NUMBER = (
    r"(?:,?\s?(?:д|дом|к|корп|стр|кв|квартира)\.?\s?\d{1,4}[а-я]?(?:/\d{1,3})?"
    r"|,?\s\d{1,4}[а-я]?(?!\w)(?:/\d{1,3})?)"
)
_RUSSIAN = re.compile(
    r"(?<!\w)(?:(?:г|п|с|д|к|ст|клх)\.?\s[А-ЯЁ][\w -]{1,30}(?:\([\w. ]{1,30}\))?,\s)?"
    r"(?:(?:ул|пр|пр-т|пер|ш|алл|наб|бул|б-р|пл)\.?|улица|проспект|переулок|шоссе|аллея|набережная"
    r"|бульвар|площадь)(?:\s|(?<=\.))(?:[А-ЯЁ0-9][\w.-]{0,30}|\d{1,2}\s[а-я]{3,8})(?:\s(?:лет\s)?[А-ЯЁ][\w-]{1,30}){0,2}"
    rf"{_RUSSIAN_NUMBER}(?:{_RUSSIAN_NUMBER}){{0,3}}(?:,\s\d{{6}})?"
    r"|(?<!\w)[А-ЯЁ][\w-]{1,30}\s(?:улица|проспект|переулок|шоссе|бульвар),?\s(?:д\.?\s?)?\d{1,4}(?!\w)",
)
_HURRIED = re.compile(
    r"(?<![\w.,:/#$-])\d{2,5}\s(?!(?:hours?|minutes?|mins?|miles?|mph|kmh?|lanes?|ways?|years?)\s)[a-z]{3,15}"
    r"\s(?:street|st|avenue|ave|road|rd|lane|blvd|boulevard)(?!\w)(?:\s(?:apt|flat|unit)\s\d{1,5})?"
    r"|(?<![\w.,:/-])\d{1,4}(?:\s?(?:bis|ter))?,?\s(?i:rue|avenue|boulevard|chemin|impasse|allée)"
    r"\s(?:(?:de|du|des|la|le|les)\s){0,2}(?:d'|l')?[^\W\d_]{3,20}"
    r"|(?<!\w)(?:rua|travessa|avenida|av)\s(?:d[aoe]s?)\s(?:[^\W\d_]{3,15}\s){1,2}?(?:nº?\s?)?\d{1,4}(?!\w)"
    rf"{_NO_COUNT}|(?<!\w)(?:calle|plaza|avda)\s(?:del?\s)?(?:la\s)?"
    rf"(?!tiene|hay|con|está|hace)[^\W\d_]{{4,15}}\s\d{{1,3}}(?!\w){_NO_COUNT}"
    rf"|(?<!\w)[a-zäöüß-]{{3,30}}(?:str\.|straße|strasse)\s\d{{1,3}}(?!\w)"
    r"|(?<!\w)(?:ул|улица|проспект|пр-т)\.?\s?[а-яё-]{3,20},?\s(?:д\.?\s?)?\d{1,3}(?!\w)",
)
"""Streets typed without capitals, between a word for a street and a number."""
_POSTCODE = re.compile(
    rf"(?<![\w-])(?:[A-Z]{{1,2}}\d[A-Z\d]?\s\d[A-Z]{{2}}(?!\w)|\d{{4}}-\d{{3}}\s{_NAME})",
)
_MILITARY = re.compile(
    r"(?<!\w)(?:PSC|Unit|CMR) \d{1,5},? Box \d{1,5}(?:,? (?:APO|FPO|DPO) A[AEP] \d{5})?(?!\w)",
)
_PATTERNS = (
    _HURRIED,
    _ENGLISH,
    _MILITARY,
    _IBERIAN,
    _FRENCH,
    _FRENCH_UNNUMBERED,
    _GERMAN,
    _POSTCODE,
)


def find_addresses(text: str) -> Iterator[Span]:
    """Yield streets with house numbers, and postcodes with their towns."""
    patterns = _PATTERNS if text.isascii() else (*_PATTERNS, _RUSSIAN)
    for pattern in patterns:
        for match in pattern.finditer(text):
            yield match.span()
