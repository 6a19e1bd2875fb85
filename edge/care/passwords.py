"""Whether a camera's configured password is one that everybody knows. Core.

The password itself is never told, nor how it looks: only which rule it breaks.
"""

from __future__ import annotations

from edge.care.finding import Finding

LENGTH_MIN = 8
CLASSES_MIN = 3
#: Makers' defaults and the most common ones, in lower case.
_WORDS = """
admin admin123 admin1234 admin12345 admin123456 admin@123 admin888 administrator 12345 123456
1234567 12345678 123456789 1234567890 1234 111111 11111111 000000 00000000 666666 888888
88888888 654321 123123 123321 password passw0rd password1 password123 p@ssw0rd p@ssword root
root123 user guest default system camera ipcam ipcamera hikvision hik12345 hikvision123 dahua
dahua123 uniview uniview123 tplink tp-link123 abc123 abc12345 abcd1234 a1234567 a12345678 qwerty
qwerty123 qwer1234 1qaz2wsx 1q2w3e4r zaq12wsx iloveyou woaini 5201314 meinsm pass 9999 4321 1111
ubnt supervisor service fliradmin jvc wbox123 xc3511 vizxv juantech
"""
_KNOWN = frozenset(_WORDS.split())


def weakness(username: str, password: str) -> Finding | None:
    """The first rule that it breaks; None for a sound one."""
    lower = password.casefold()
    if not password:
        return Finding(zh="没有口令", en="there is no password")
    if lower in _KNOWN or (username and lower in (f"{username}123".casefold(),)):
        return Finding(
            zh="是默认或常见口令", en="it is a default password, or one that everybody tries"
        )
    if username and (lower == username.casefold() or lower == username.casefold()[::-1]):
        return Finding(zh="口令与用户名相同", en="it is the user name")
    if len(password) < LENGTH_MIN:
        return Finding(
            zh=f"口令少于 {LENGTH_MIN} 位", en=f"it has less than {LENGTH_MIN} characters"
        )
    if len(set(lower)) <= 2 or _is_run(lower):
        return Finding(zh="口令是重复或连续字符", en="it repeats or counts characters")
    if _classes(password) < CLASSES_MIN:
        return Finding(
            zh=f"口令少于 {CLASSES_MIN} 类字符（大写、小写、数字、符号）",
            en=f"it has less than {CLASSES_MIN} kinds of characters (capital, small, digit, sign)",
        )
    return None


def _classes(password: str) -> int:
    return sum(
        (
            any(one.isupper() for one in password),
            any(one.islower() for one in password),
            any(one.isdigit() for one in password),
            any(not one.isalnum() for one in password),
        )
    )


def _is_run(text: str) -> bool:
    steps = {ord(after) - ord(before) for before, after in zip(text, text[1:], strict=False)}
    return steps in ({1}, {-1})
