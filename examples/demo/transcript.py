"""What the agent did, step by step: recorded once, replayed here as data.

The thoughts and the code are a language model's. What comes back is not recorded: each run gets it from the
sandbox.
"""

from __future__ import annotations

from dataclasses import dataclass

TASK = (
    "Here are the flights that left New York in 2013, the hourly weather, and the register of planes. "
    "Clean them, chart what makes flights late, and give me the numbers and a table that I can trust."
)


@dataclass(frozen=True)
class Step:
    """One turn of the agent: Python for the interpreter, or (``shell``) a command.

    ``timeout`` is in seconds. ``raises`` names the exception that the code is known to end with.
    """

    thought: str
    code: str
    shell: bool = False
    timeout: float = 60
    raises: str | None = None


STEPS = (
    Step(
        "Unpack what I was given and look at the raw text first.",
        """\
python3 -m zipfile -e flights.csv.zip . && wc -l *.csv
head -3 flights.csv
grep -c ',NA' flights.csv""",
        shell=True,
    ),
    Step(
        "Load everything, and see which columns have holes.",
        """\
import numpy as np
import pandas as pd

flights, weather, planes, airlines = (
    pd.read_csv(f"{name}.csv") for name in ("flights", "weather", "planes", "airlines")
)
holes = flights.isna().sum()
holes[holes > 0].to_dict()""",
    ),
    Step(
        "Times are numbers like 517 for 5:17. Rebuild them from schedule plus delay, and compare.",
        """\
def minutes(clock):
    return pd.to_timedelta(clock // 100 * 60 + clock % 100, unit="min")

day = pd.to_datetime(flights[["year", "month", "day"]])
flights["scheduled"] = day + minutes(flights.sched_dep_time)
flights["departed"] = flights.scheduled + pd.to_timedelta(flights.dep_delay, unit="min")

flown = flights.dep_time.notna()
clock = flights.departed.dt.hour * 100 + flights.departed.dt.minute
wrong = clock[flown] != flights.dep_time[flown] % 2400
print(f"{flown.sum():,} departures, {wrong.sum()} disagree with the clock,",
      f"{(flights.dep_time == 2400).sum()} left at '2400'")""",
    ),
    Step(
        "A missing value means three different things here. Tell them apart before anything is averaged.",
        """\
flights["status"] = np.select(
    [flights.dep_time.isna(), flights.arr_delay.isna()], ["cancelled", "diverted"], "arrived"
)
flights.status.value_counts()""",
    ),
    Step(
        "Some tail numbers look like none the FAA could have issued. Check them row by row.",
        """\
import re

valid = re.compile(r"N[1-9]\\d{0,4}[A-HJ-NP-Z]{0,2}")
bad_tails = 0
for _, row in flights.iterrows():
    if isinstance(row.tailnum, str) and not valid.fullmatch(row.tailnum):
        bad_tails += 1
bad_tails""",
        timeout=2,
        raises="TimeoutError",
    ),
    Step(
        "Too slow, row by row. The variables are still there; do it on the 4,043 distinct numbers instead.",
        """\
tails = flights.tailnum.dropna()
invalid = {tail for tail in tails.unique() if not valid.fullmatch(tail)}
print(f"{len(invalid)} numbers on {tails.isin(invalid).sum():,} flights, such as {sorted(invalid)[:4]}")
flights.carrier[flights.tailnum.isin(invalid)].value_counts().to_dict()""",
    ),
    Step(
        "Now the weather: are the readings possible?",
        """\
ranges = weather[["temp", "humid", "wind_speed", "precip", "visib"]].describe().loc[["min", "50%", "max"]]
print(ranges.round(1).to_string())
weather.loc[weather.wind_speed > 100, ["origin", "time_hour", "wind_speed"]]""",
    ),
    Step(
        "1,048 mph is no wind: drop it. Then join flights with the weather; let pandas check the keys.",
        """\
weather.loc[weather.wind_speed > 100, "wind_speed"] = np.nan
joined = flights.merge(
    weather, on=["origin", "year", "month", "day", "hour"], how="left", validate="many_to_one"
)""",
        raises="MergeError",
    ),
    Step(
        "On 3 November one o'clock came twice: the clocks went back. Join on UTC hours, which are unique.",
        """\
readings = weather[["origin", "time_hour", "temp", "wind_speed", "precip", "visib"]]
joined = flights.merge(readings, on=["origin", "time_hour"], how="left", validate="many_to_one")
print(f"{len(joined):,} flights, {joined.temp.notna().mean():.2%} with weather,",
      f"strongest wind {joined.wind_speed.max():.0f} mph")""",
    ),
    Step(
        "Now the planes. One maker goes by several names.",
        """\
names = planes.manufacturer.nunique()
makers = {
    "AIRBUS INDUSTRIE": "AIRBUS",
    "MCDONNELL DOUGLAS AIRCRAFT CO": "MCDONNELL DOUGLAS",
    "MCDONNELL DOUGLAS CORPORATION": "MCDONNELL DOUGLAS",
    "DOUGLAS": "MCDONNELL DOUGLAS",
    "BOMBARDIER INC": "BOMBARDIER",
    "CANADAIR": "BOMBARDIER",
    "CANADAIR LTD": "BOMBARDIER",
}
planes["maker"] = planes.manufacturer.replace(makers)
print(names, "names,", planes.maker.nunique(), "makers, such as", sorted(planes.maker.unique())[5:10])""",
    ),
    Step(
        "'BARKER JACK L' is a person, not a maker. What did his plane fly, and how fast?",
        """\
described = ["type", "engine", "maker", "model", "seats"]
table = joined.merge(planes[["tailnum", *described]], on="tailnum", how="left")
table["mph"] = table.distance / (table.air_time / 60)
odd = table[table.seats.le(16) & table.mph.gt(250)]
groups = odd.groupby(["maker", "model", "engine"])
summary = groups.agg(flights=("mph", "size"), mph=("mph", "mean"), miles=("distance", "max"))
print(summary.nlargest(5, "flights").round().astype(int).reset_index().to_string(index=False))""",
    ),
    Step(
        "An R66 is a helicopter: never 2,586 miles at 427 mph. Forget such types, keep the flights.",
        """\
misfiled = table.engine.isin(["Reciprocating", "4 Cycle", "Turbo-shaft"])
table.loc[misfiled, described] = None
print(f"{misfiled.sum():,} flights by {table.tailnum[misfiled].nunique()} tail numbers")
table.maker.value_counts().head(4).to_dict()""",
    ),
    Step(
        "Clean. Chart what makes flights late.",
        """\
import matplotlib.pyplot as plt

arrived = table[table.status == "arrived"].merge(airlines, on="carrier")
figure, axes = plt.subplots(2, 2, figsize=(11, 7.5), layout="constrained")
(a, b), (c, d) = axes

table.groupby("hour").dep_delay.mean().plot.bar(ax=a, color="#4477aa", width=0.8)
a.set(title="Delay builds up over the day", xlabel="scheduled hour", ylabel="mean departure delay, min")

by_month = table.groupby("month").status.value_counts(normalize=True).unstack()
by_month.cancelled.mul(100).plot.bar(ax=b, color="#ee6677", width=0.8)
b.set(title="February's storms and December", xlabel="month", ylabel="cancelled, %")

by_airline = arrived.assign(ok=arrived.arr_delay < 15).groupby("name").ok.agg(["mean", "size"])
on_time = by_airline[by_airline["size"] >= 1000]["mean"].mul(100).sort_values()
on_time.plot.barh(ax=c, color="#228833", width=0.8)
c.set(title="On time (less than 15 min late)", xlabel="% of arrivals", ylabel="")

bands = pd.cut(table.wind_speed, [-1, 5, 10, 15, 20, 25, 45])
for rain, label in ((False, "dry"), (True, "rain or snow")):
    rows = table[(table.precip > 0) == rain]
    rows.groupby(bands, observed=True).dep_delay.mean().plot(ax=d, marker="o", label=label)
d.set(title="Wind costs minutes, rain more", xlabel="wind, mph", ylabel="mean departure delay, min")
d.legend()
plt.show()""",
    ),
    Step(
        "Write the clean table, and read it back to be sure that it says the same.",
        """\
columns = ["scheduled", "departed", "status", "dep_delay", "arr_delay", "carrier", "flight", "tailnum",
           "origin", "dest", "distance", "maker", "seats", "wind_speed", "precip"]
table[columns].round({"wind_speed": 1}).to_csv("flights_clean.csv", index=False)
again = pd.read_csv("flights_clean.csv")
assert len(again) == len(table) and again.dep_delay.sum() == table.dep_delay.sum()
again.shape""",
    ),
    Step(
        "Put the figures into a file, and the answer into words.",
        """\
import json

def first(series):
    [(key, value)] = series.items()
    return {str(key): round(float(value), 2)}

delay = table.groupby("hour").dep_delay.mean()
cancelled = by_month.cancelled.mul(100)
answer = {
    "flights": len(table),
    "cancelled": int((table.status == "cancelled").sum()),
    "diverted": int((table.status == "diverted").sum()),
    "on_time_percent": round(float(100 * (arrived.arr_delay < 15).mean()), 2),
    "worst_hour": first(delay.nlargest(1)),
    "worst_month_cancelled_percent": first(cancelled.nlargest(1)),
    "best_airline": first(on_time.nlargest(1)),
    "worst_airline": first(on_time.nsmallest(1)),
    "delay_dry": round(float(table[table.precip == 0].dep_delay.mean()), 2),
    "delay_rain": round(float(table[table.precip > 0].dep_delay.mean()), 2),
    "flights_by_misfiled_planes": int(misfiled.sum()),
    "flights_with_invalid_tail_number": int(tails.isin(invalid).sum()),
}
with open("answer.json", "w") as file:
    json.dump(answer, file)

best, worst = on_time.idxmax(), on_time.idxmin()
print(f"{answer['on_time_percent']:.0f} % came in on time; {best} does best, {worst} worst.")
print(f"Delay builds up over the day, to {delay.max():.0f} min at {delay.idxmax()} h: fly early.")
print(f"Rain or snow costs {answer['delay_rain'] - answer['delay_dry']:.0f} min more, wind some.")
print(f"{answer['cancelled']:,} flights never left, most in month {cancelled.idxmax()}.")
print(f"The register of planes is wrong for {answer['flights_by_misfiled_planes']:,} flights.")""",
    ),
)
