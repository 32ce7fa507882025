"""The results of one measurement, as the report and the goals ask for them."""

import statistics


class Results:
    """All runs: a server at a size in a round each."""

    def __init__(self, measured):
        self.measured = measured
        self.sizes = measured["sizes"]
        self.runs = measured["runs"]

    def servers(self, service):
        return [server["name"] for server in self.measured["servers"] if server["service"] == service]

    def values(self, service, server, size, *path):
        """This figure of each round that has it."""
        found = []
        for run in self.runs:
            if (run["service"], run["server"], run["size"]) == (service, server, size):
                value = run
                for key in path:
                    value = value.get(key) if isinstance(value, dict) else None
                if value is not None:
                    found.append(value)
        return found

    def median(self, *which):
        values = self.values(*which)
        return statistics.median(values) if values else None


def number(value):
    """As many digits as mean something."""
    if value is None:
        return "-"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def spread(values):
    """The median, and in what bounds."""
    if not values:
        return "-"
    if len(values) == 1:
        return number(values[0])
    return f"**{number(statistics.median(values))}** ({number(min(values))} - {number(max(values))})"
