// Show the runs that fit all filters, and draw the frontier anew through their means over seeds.
const ALL = "all";
const column = (name) => Array.from(all.data[name]);
const fits = (row, names) =>
  names.every((name) => [ALL, String(all.data[name][row])].includes(filters[name].value));
const rows = [...Array(all.get_length()).keys()];
const others = Object.keys(filters).filter((name) => name !== "experiment");
const fitting = rows.filter((row) => fits(row, others));

const experiments = [ALL, ...new Set(fitting.map((row) => all.data.experiment[row]))];
filters.experiment.options = experiments;
if (!experiments.includes(filters.experiment.value)) filters.experiment.value = ALL;
const seen = fitting.filter((row) => fits(row, ["experiment"]));
const taken = {};
for (const name of Object.keys(all.data)) {
  const values = column(name);
  taken[name] = seen.map((row) => values[row]);
}
shown.selected.indices = [];
shown.data = taken;

const seeds = new Map();
for (const row of seen) {
  const point = [all.data.seen[row], all.data.accuracy[row]];
  const key = [all.data.experiment[row], all.data.profile[row]].join();
  if (point.every(Number.isFinite)) seeds.set(key, [...(seeds.get(key) ?? []), point]);
}
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const means = [...seeds.values()].map((points) => [0, 1].map((axis) => mean(points.map((p) => p[axis]))));
means.sort((one, other) => one[0] - other[0] || other[1] - one[1]);
const ahead = means.filter(([, accuracy], place) => means.slice(0, place).every((p) => p[1] < accuracy));
frontier.data = { seen: ahead.map((p) => p[0]), accuracy: ahead.map((p) => p[1]) };

const reported = {};
for (const name of Object.keys(sources.data)) {
  reported[name] = Array.from(sources.data[name]).filter(
    (_, row) => sources.data.data[row] === filters.data.value,
  );
}
shown_sources.data = reported;
count.text = `Runs shown: ${seen.length}, of experiments: ${new Set(taken.experiment).size}`;
