"""Addresses of people as the admin API takes them: numbers in any usual form, and WhatsApp's user ids."""

from __future__ import annotations

import re

from trunkline.web.errors import bad_request

DIGITS = re.compile(r"[0-9]{4,20}")
USER_ID = re.compile(r"[A-Z]{2}\.[A-Za-z0-9._-]{1,120}")


def number_of(text: str) -> str | None:
    """The digits of a number with or without its plus, None when it is none."""
    # In a query, an unescaped plus arrives as a blank.
    plain = text.strip().removeprefix("+")
    return plain if DIGITS.fullmatch(plain) else None


def user_id_of(text: str) -> str | None:
    """A user id, None when it is none."""
    plain = text.strip()
    return plain if USER_ID.fullmatch(plain) else None


def require_number(text: str, field: str) -> str:
    """The digits of a number; raises ApiError 400 naming the field."""
    number = number_of(text)
    if number is None:
        raise bad_request({field: "must be a number in international form, with or without its plus"})
    return number


def require_user_id(text: str, field: str) -> str:
    """A user id; raises ApiError 400 naming the field."""
    user_id = user_id_of(text)
    if user_id is None:
        raise bad_request({field: "must be a user id of WhatsApp, as GB.71204433551902288417"})
    return user_id
