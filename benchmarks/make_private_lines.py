"""Write the Faker part of private_lines.jsonl and keep the part written by hand.

Run from the repository root: `python benchmarks/make_private_lines.py`.
"""

# ruff: noqa: E501 - a kind's templates read best on one line.

import hashlib
import json
import random
from pathlib import Path

from faker import Faker

LINES = Path(__file__).with_name("private_lines.jsonl")
SEED = 20240301
EXPIRY = "04/27"
HELD_OUT_ONE_IN = 3
LOCALES = {
    "en": ("en_US", "en_GB"),
    "pt": ("pt_PT", "pt_BR"),
    "es": ("es_ES", "es_MX"),
    "de": ("de_DE", "de_AT"),
    "fr": ("fr_FR", "fr_CH"),
    "ru": ("ru_RU", "ru_RU"),
}
TIMES = {
    "phone": 12,
    "email": 7,
    "iban": 6,
    "card": 6,
    "address": 7,
    "link": 6,
    "place": 4,
    "password": 4,
    "code": 4,
}
"""How many lines of each kind a language gets."""

WORDS = {
    "en": {
        "phone": ["my new number is {}", "call me at {} after 6 😅", "{} thats my mums cell", "u can text {} lol"],
        "email": ["send it to {} pls", "my mail: {}", "{} is the one i actually check 😂"],
        "iban": ["my iban is {} thx for the 20", "here: {}", "transfer it to {} no rush"],
        "card": ["use my card {} but dont tell dad", "{} exp 04/27", "card nr {} lmk when done 👍"],
        "address": ["im at {} now", "send the parcel to {}", "we moved to {} last week!!"],
        "link": ["click this {} to see the pics", "{}", "my order is here {} 📦"],
        "place": ["we parked here {}", "the spot: {} 🏕", "im at {} come get me"],
        "password": ["my password is {}", "netflix pw: {}", "pass is {} dont change it again"],
        "code": ["the code is {}", "verification code: {}", "ur login code {} dont share it"],
    },
    "pt": {
        "phone": ["o meu número novo é {}", "liga-me pro {} depois das 6", "{} é o da minha mãe", "manda zap no {} kkk"],
        "email": ["manda pro {} pf", "o meu mail é {}", "{} é o que eu uso mesmo 😂"],
        "iban": ["o meu iban é {} obg", "toma: {}", "transfere pro {} sem pressa"],
        "card": ["usa o meu cartão {} mas n digas ao pai", "{} validade 04/27", "cartão {} avisa qd acabares 👍"],
        "address": ["tou na {} agora", "manda a encomenda pra {}", "a morada nova é {} apareçam!!"],
        "link": ["clica aqui {} pra veres as fotos", "{}", "a minha encomenda tá aqui {} 📦"],
        "place": ["estacionámos aqui {}", "o sítio: {} 🏕", "tou em {} vem-me buscar"],
        "password": ["a minha senha é {}", "password da netflix: {}", "a palavra-passe é {} n mudes outra vez"],
        "code": ["o código é {}", "código de verificação: {}", "o teu código {} n partilhes"],
    },
    "es": {
        "phone": ["mi número nuevo es {}", "llámame al {} después de las 6", "{} es el de mi madre", "mándame un wasap al {} jaja"],
        "email": ["mándalo a {} porfa", "mi correo: {}", "{} es el q miro de verdad 😂"],
        "iban": ["mi iban es {} gracias", "toma: {}", "haz la transferencia a {} sin prisa"],
        "card": ["usa mi tarjeta {} pero no se lo digas a papá", "{} cad 04/27", "tarjeta {} avísame 👍"],
        "address": ["estoy en {} ahora", "manda el paquete a {}", "la dirección nueva es {} venid!!"],
        "link": ["pincha aquí {} para ver las fotos", "{}", "mi pedido está aquí {} 📦"],
        "place": ["aparcamos aquí {}", "el sitio: {} 🏕", "estoy en {} ven a por mí"],
        "password": ["mi contraseña es {}", "contraseña de netflix: {}", "la clave es {} no la cambies otra vez"],
        "code": ["el código es {}", "código de verificación: {}", "tu código {} no lo compartas"],
    },
    "de": {
        "phone": ["meine neue nummer ist {}", "ruf mich an {} nach 6", "{} ist die von mama", "schreib mir auf whatsapp {} haha"],
        "email": ["schick's an {} bitte", "meine mail: {}", "{} is die die ich wirklich lese 😂"],
        "iban": ["meine iban ist {} danke", "hier: {}", "überweis es auf {} keine eile"],
        "card": ["nimm meine karte {} aber sag papa nix", "{} gültig 04/27", "kartennummer {} sag bescheid 👍"],
        "address": ["bin grad {}", "schick das paket an {}", "neue adresse: {} kommt vorbei!!"],
        "link": ["klick hier {} für die fotos", "{}", "meine bestellung {} 📦"],
        "place": ["wir parken hier {}", "der platz: {} 🏕", "bin bei {} hol mich ab"],
        "password": ["mein passwort ist {}", "netflix passwort: {}", "das kennwort ist {} nicht wieder ändern"],
        "code": ["der code ist {}", "bestätigungscode: {}", "dein code {} nicht weitergeben"],
    },
    "fr": {
        "phone": ["mon nouveau numéro c'est {}", "appelle-moi au {} après 18h", "{} c'est celui de maman", "envoie un sms au {} mdr"],
        "email": ["envoie à {} stp", "mon mail : {}", "{} c'est celui que je lis vraiment 😂"],
        "iban": ["mon iban c'est {} merci", "tiens : {}", "fais le virement sur {} tranquille"],
        "card": ["prends ma carte {} mais dis rien à papa", "{} exp 04/27", "numéro de carte {} dis moi 👍"],
        "address": ["jsuis au {} là", "envoie le colis au {}", "la nouvelle adresse : {} venez !!"],
        "link": ["clique ici {} pour les photos", "{}", "ma commande est là {} 📦"],
        "place": ["on est garés ici {}", "l'endroit : {} 🏕", "jsuis à {} viens me chercher"],
        "password": ["mon mot de passe c'est {}", "mdp netflix : {}", "le mot de passe est {} le change plus"],
        "code": ["le code est {}", "code de vérification : {}", "ton code {} ne le partage pas"],
    },
    "ru": {
        "phone": ["мой новый номер {}", "звони на {} после 6", "{} это мамин", "пиши в вотсап {} ахах"],
        "email": ["кинь на {} плз", "моя почта: {}", "{} вот эту я реально читаю 😂"],
        "iban": ["мой iban {} спс", "вот: {}", "переведи на {} не спеши"],
        "card": ["возьми мою карту {} только папе не говори", "{} до 04/27", "номер карты {} напиши как сделаешь 👍"],
        "address": ["я щас на {}", "отправь посылку на {}", "новый адрес: {} приходите!!"],
        "link": ["жми {} там фотки", "{}", "мой заказ тут {} 📦"],
        "place": ["мы припарковались тут {}", "место: {} 🏕", "я в {} забери меня"],
        "password": ["мой пароль {}", "пароль от нетфликса: {}", "пароль теперь {} больше не меняй"],
        "code": ["код {}", "код подтверждения: {}", "твой код {} никому не говори"],
    },
}  # fmt: skip


def made_up(kind: str, fake: Faker, draw: random.Random) -> tuple[str, int]:
    """Return a value of this kind and where in it the private part starts."""
    if kind == "link":
        host = fake.url()
        tail = draw.choice(
            (
                f"track?token={fake.sha1()}",
                f"reset-password/{fake.uuid4()}",
                f"orders?email={fake.safe_email()}&id={fake.random_number(6)}",
                f"login?session={fake.md5()}",
                f"shared?key={fake.password(20, special_chars=False)}",
            ),
        )
        return host + tail, len(host)
    if kind == "place":
        joint = draw.choice((", ", ",", " "))
        return joint.join(str(part) for part in fake.latlng()), 0
    makers = {
        "phone": fake.phone_number,
        "email": draw.choice((fake.email, fake.safe_email, fake.company_email)),
        "iban": fake.iban,
        "card": fake.credit_card_number,
        "address": draw.choice((fake.street_address, fake.street_address, fake.address)),
        "password": lambda: fake.password(draw.randint(8, 12)),
        "code": lambda: fake.numerify(draw.choice(("######", "####", "%##-###"))),
    }
    value = makers[kind]().replace("\n", ", ")
    if kind in {"iban", "card"} and draw.random() < 0.5:
        value = " ".join(value[at : at + 4] for at in range(0, len(value), 4))
    return value, 0


def made_up_lines() -> list[dict]:
    """Return the lines that Faker's providers fill, the same at each run."""
    draw = random.Random(SEED)
    lines = []
    for language, locales in LOCALES.items():
        fakes = [Faker(locale) for locale in locales]
        for number, fake in enumerate(fakes):
            fake.seed_instance(SEED + number)
        for kind, times in TIMES.items():
            for turn in range(times):
                # en_GB's and fr_CH's streets are no streets: "Studio 5, Foster lights".
                fake = fakes[0] if kind == "address" else fakes[turn % 2]
                templates = WORDS[language][kind]
                before, after = templates[turn % len(templates)].split("{}")
                value, skipped = made_up(kind, fake, draw)
                private = [[kind, len(before) + skipped, len(before) + len(value)]]
                text = before + value + after
                if kind == "card" and (expiry := text.find(EXPIRY, len(before + value))) > 0:
                    private.append([kind, expiry, expiry + len(EXPIRY)])
                lines.append(
                    {"language": language, "text": text, "private": private, "from": "faker"}
                )
    return lines


def is_held_out(text: str) -> bool:
    """Whether nobody looks at this line while writing rules: one in three, by its hash."""
    return hashlib.sha256(text.encode()).digest()[0] % HELD_OUT_ONE_IN == 0


def written(line: dict) -> str:
    """Return the line as JSON, two characters of each key escaped.

    The escapes keep secret scanners from taking these made-up keys for live ones.
    """
    text = line["text"]
    escaped = set()
    for kind, start, end in line["private"]:
        if kind in {"key", "link"}:
            escaped |= {start + 1, (start + end) // 2}
    quoted = "".join(
        f"\\u{ord(letter):04x}" if at in escaped else json.dumps(letter, ensure_ascii=False)[1:-1]
        for at, letter in enumerate(text)
    )
    rest = {"private": line["private"], "from": line["from"]}
    if is_held_out(text):
        rest["held_out"] = True
    return f'{{"language": "{line["language"]}", "text": "{quoted}", {json.dumps(rest)[1:]}'


def main() -> None:
    """Write the file anew."""
    kept = [json.loads(line) for line in LINES.read_text("utf-8").splitlines()]
    by_hand = [line for line in kept if line["from"] == "hand"]
    lines = "\n".join(written(line) for line in made_up_lines() + by_hand)
    LINES.write_text(f"{lines}\n", "utf-8")


if __name__ == "__main__":
    main()
