"""Values and durations as people read them."""


def format_value(value: object) -> str:
    """Return a float with four significant digits, and any other value as text."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def format_objective(value: float) -> str:
    """Return a large whole number with commas, such as 52,362 weights, and any other value as `format_value` does."""
    return f"{value:,.0f}" if abs(value) >= 10 and float(value).is_integer() else format_value(value)


def format_duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def printable(value: object) -> str:
    """Return the value without signs that a terminal would obey."""
    return "".join(sign if sign.isprintable() else "?" for sign in str(value))
