"""Tables of the light service: without pandas, there are none."""

CITIES = ("Lagos",)
PRODUCTS = ("apples",)
