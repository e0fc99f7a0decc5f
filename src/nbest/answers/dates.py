"""Times of day and calendar dates. This module does not know how they are compared."""

import re
from datetime import date

from nbest.answers.values import Date, Reading, Time

_TIME = re.compile(
    r"(?:at )?(\d{1,2})(?::(\d{2})(?::(\d{2}))?)? ?(?:([aApP])\.? ?[mM]\b\.?|(o'?clock)|h\b)?"
    r"(?: in the (morning|afternoon|evening)| at (night))?"
)
_MONTHS = "january february march april may june july august september october november december".split()
_MONTH = (
    r"(?P<name>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_WEEKDAY = r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?,? )?"
_YEAR = r"(?P<year>\d{4})"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_NAMED_DATES = tuple(
    re.compile(_WEEKDAY + pattern, re.IGNORECASE)
    for pattern in (
        rf"(?:the )?{_DAY} (?:of )?{_MONTH}(?:,? {_YEAR})?",
        rf"{_MONTH} (?:the )?{_DAY}(?:,? {_YEAR})?",
        rf"{_DAY}-{_MONTH}-{_YEAR}",
        rf"{_YEAR},? {_MONTH} {_DAY}",
    )
)
_NUMERIC = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4})")
_ISO = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})(?:[T ]00:00(?::00)?Z?)?")
_NAMED_TIMES = {"noon": 720, "midday": 720, "midnight": 0, "12 noon": 720, "12 midnight": 0}


def read_time(text: str) -> tuple[Reading, ...]:
    """Return the time of day that a text is; () if it is none.

    `2:00` without "am" or "pm" is both, unless the hour needs the 24-hour clock. A bare number is no time.
    """
    minutes = _NAMED_TIMES.get(text.lower())
    if minutes is not None:
        return (Reading(Time((minutes,))),)
    match = _TIME.fullmatch(text)
    if match is None or not (match[2] or match[4] or match[5]):
        return ()
    hour, minute = int(match[1]), int(match[2] or 0)
    half = (match[4] or "").lower() or {"morning": "a", "afternoon": "p", "evening": "p"}.get(match[6] or "", "")
    if minute > 59 or hour > 24 or (half and not 1 <= hour <= 12 and not (half == "p" and hour < 24)):
        return ()
    if half:
        return (Reading(Time(((hour % 12 + (12 if half == "p" else 0)) * 60 + minute,))),)
    has_24_hours = hour > 12 or hour == 0 or match[1].startswith("0")
    starts = (hour % 24,) if has_24_hours else (hour % 12, hour % 12 + 12)
    return (Reading(Time(tuple(start * 60 + minute for start in starts))),)


def read_date(text: str) -> tuple[Reading, ...]:
    """Return the honest readings of a date; () if the text is none. `05/10/2001` is 10 May or 5 October."""
    for pattern in _NAMED_DATES:
        match = pattern.fullmatch(text)
        if match is not None:
            month = next(i for i, name in enumerate(_MONTHS, 1) if name.startswith(match["name"].lower()[:3]))
            return _dates([(match["year"], month, match["day"], "")])
    iso = _ISO.fullmatch(text)
    if iso is not None:
        return _dates([(iso[1], iso[3], iso[4], "")])
    numeric = _NUMERIC.fullmatch(text)
    if numeric is not None:
        first, second, year = numeric[1], numeric[3], numeric[4]
        return _dates([(year, first, second, "month first"), (year, second, first, "day first")])
    return ()


def _dates(candidates: list[tuple[str | None, int | str, int | str, str]]) -> tuple[Reading, ...]:
    readings: dict[Date, Reading] = {}
    for year, month, day, note in candidates:
        value = Date(int(year) if year else None, int(month), int(day))
        try:
            date(value.year or 2000, value.month, value.day)
        except ValueError:
            continue
        readings.setdefault(value, Reading(value, note))
    return tuple(readings.values())
