"""Turns a line into the kinds of personal data in it: e-mail, phone, card, IBAN. Pure.

Code is full of numbers and of `@`, and people sign their files: only what can hardly be anything
else counts, and a line that says who wrote or keeps a file does not.
"""

import re

SCREEN = (
    r"\w@\w[\w-]*\.[A-Za-z]{2} | \d[\d\ -]{11,}\d | \+\d{1,3}[\ .(-]\(?\d | \(\d{3}\)\ \d"
    r" | [A-Z]{2}\d{2}[\ ]?[A-Z0-9]{4}"
)
"""What a line must hold for `kinds_in_line` to be worth asking (a verbose regular expression)."""


def kinds_in_line(line: str) -> frozenset[str]:
    """Return the kinds of personal data in one line."""
    found = set()
    if "@" in line and any(map(_is_person, _EMAIL.finditer(line))) and not _SIGNED.search(line):
        found.add("e-mail")
    if any(map(_is_phone, _PHONE.finditer(line))) and not _SIGNED.search(line):
        found.add("phone")
    if any(map(_is_card, _CARD.finditer(line))):
        found.add("card-number")
    if any(map(_is_iban, _IBAN.finditer(line))):
        found.add("iban")
    return frozenset(found)


def _is_person(found: re.Match[str]) -> bool:
    name, domain = found["name"].lower(), found["domain"].lower()
    is_ours = _NO_PERSON.fullmatch(name) or _NO_DOMAIN.search(domain)
    return not is_ours and _ENDING.search(domain) is not None


def _is_phone(found: re.Match[str]) -> bool:
    digits = _digits(found)
    is_invented = "555" in digits[-10:-4] or len(set(digits)) < 4 or digits[-7:] in _COUNTED
    return 10 <= len(digits) <= 15 and not is_invented


def _is_card(found: re.Match[str]) -> bool:
    """A number of an issuer of cards whose last digit fits the others (Luhn's sum)."""
    digits = _digits(found)
    if _TEST_CARD.fullmatch(digits) or len(set(digits)) < 4 or not _ISSUER.fullmatch(digits):
        return False
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2]]
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def _is_iban(found: re.Match[str]) -> bool:
    """ISO 13616: turned and with letters as numbers, it leaves 1 when divided by 97."""
    text = found[0].replace(" ", "")
    if not 15 <= len(text) <= 34 or len(set(text)) < 6:
        return False
    turned = text[4:] + text[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % 97 == 1


def _digits(found: re.Match[str]) -> str:
    return "".join(filter(str.isdigit, found[0]))


_EMAIL = re.compile(
    r"(?<![\w.+@/:-])(?P<name>[A-Za-z0-9][\w.+-]{1,63})@(?P<domain>[A-Za-z0-9][\w-]*(?:\.[\w-]+)*"
    r"\.[A-Za-z]{2,12})(?![\w@(\[/:=-])"
)
_SIGNED = re.compile(
    r"\bby\b|author|copyright|\(c\)|©|maintain|licen[cs]e|signed-off|co-authored|contribut"
    r"|credit|contact|report|bug|patch|thanks|@since|mailing list",
    re.I,
)
_NO_PERSON = re.compile(
    r"(?:no-?reply|do-?not-?reply|info|support|admin(?:istrator)?|root|webmaster|postmaster|hostmaster"
    r"|security|contact|hello|help|sales|press|abuse|office|team|dev(?:elopers?)?|git|bot|ci|svc|app"
    r"|user(?:name)?|users?|name|email|mail|me|you|your\W?\w*|my\W?\w*|someone|somebody|nobody|test\w*"
    r"|foo|bar|baz|alice|bob|eve|carol|john|jane|(?:john|jane)\W?(?:doe|smith)|joe|jdoe|first\W?last"
    r"|.*(?:example|sample|dummy|fake|invalid).*|[a-z]\W?\d*)[\d_+-]*",
    re.I,
)
_NO_DOMAIN = re.compile(
    r"example|(?:^|\.)(?:test|local|localhost|localdomain|invalid|internal|lan|home)(?:\.|$)"
    r"|^(?:foo|bar|baz|domain|email|mail|company|server|host|site|acme|test|mydomain|yourdomain"
    r"|mycompany|gserviceaccount|x+|y+|z+|[a-z])\.|noreply|gserviceaccount|python\.org$|localhost",
    re.I,
)
_ENDING = re.compile(
    r"\.(?:com|org|net|edu|gov|mil|info|biz|io|dev|app|ai|co|me|tech|eu|online|cloud|email|name|pro|xyz"
    r"|de|at|ch|fr|nl|be|lu|it|es|pt|uk|ie|dk|se|no|fi|pl|cz|sk|hu|ro|bg|gr|tr|ru|ua|by|lt|lv|ee|is"
    r"|us|ca|mx|br|ar|cl|pe|cn|jp|kr|tw|hk|sg|in|id|th|vn|my|ph|au|nz|za|ng|ke|eg|il|ae|sa|ir)$"
)
_PHONE = re.compile(
    r"(?<![\w.+*/=-])(?:\+\d{1,3}(?:[ .-]\(?\d{2,5}\)?){2,5}|\(\d{3}\) \d{3}[-. ]\d{4})(?![\w.])"
)
_COUNTED = ("1234567", "2345678", "3456789", "4567890", "5678901", "7654321", "6789012")
_CARD = re.compile(
    r"(?<![\w.+-])\d{4}(?:([ -]?)\d{4}\1\d{4}\1\d{4}|([ -]?)\d{6}\2\d{5})(?![\w.-]|[ -]\d)"
)
_ISSUER = re.compile(
    r"4\d{15}|5[1-5]\d{14}|2(?:2[2-9]|[3-6]\d|7[01])\d{13}|3[47]\d{13}"
    r"|6(?:011|5\d\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}"
)
_TEST_CARD = re.compile(  # those that payment services publish
    r"4242424242424242|4111111111111111|4012888888881881|4000056655665556|4000000000000002"
    r"|5555555555554444|5105105105105100|5200828282828210|2223003122003222|378282246310005"
    r"|371449635398431|6011111111111117|6011000990139424|3530111333300000|3566002020360505"
)
_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)")
