// Scales: from values to pixels, with ticks.
// A scale has `to(value)`, and `ticks`: [{value, label}].

function linearScale([low, high], [from, to]) {
  const span = high - low || 1;
  return {
    to: (value) => from + ((value - low) / span) * (to - from),
    ticks: niceTicks(low, high, ticksFor(from, to)),
  };
}

function logScale([low, high], [from, to]) {
  const inner = linearScale([Math.log10(low), Math.log10(high)], [from, to]);
  return { to: (value) => inner.to(Math.log10(value)), ticks: logTicks(low, high, ticksFor(from, to)) };
}

/** Linear near zero and logarithmic beyond, for losses that explode in either direction. */
function symlogScale([low, high], [from, to]) {
  const bend = (value) => Math.sign(value) * Math.log10(1 + Math.abs(value));
  const inner = linearScale([bend(low), bend(high)], [from, to]);
  const most = Math.ceil(Math.max(bend(high), -bend(low)));
  const step = Math.max(1, Math.ceil(most / 4));
  const values = [0];
  for (let power = step; power <= most; power += step) values.push(10 ** power, -(10 ** power));
  const ticks = values.filter((value) => value >= low && value <= high).map(tick);
  return { to: (value) => inner.to(bend(value)), ticks };
}

function choiceScale(choices, [from, to]) {
  const step = (to - from) / choices.length;
  const places = new Map(choices.map((choice, index) => [choice, from + step * (index + 0.5)]));
  return {
    to: (choice) => places.get(choice),
    step: Math.abs(step),
    ticks: choices.map((choice) => ({ value: choice, label: choice })),
  };
}

/** Return a scale for measured values: logarithmic if the largest is at least three times the smallest. */
function measuredScale(values, range) {
  const [low, high] = extent(values);
  if (low > 0 && high >= 3 * low) return logScale([low / 1.06, high * 1.06], range);
  const pad = (high - low) * 0.05 || Math.abs(high) * 0.05 || 1;
  return linearScale([low - pad, high + pad], range);
}

function lossScale(values, range) {
  const [low, high] = extent(values);
  if (Math.max(Math.abs(low), Math.abs(high)) > 100) return symlogScale([low, high], range);
  const pad = (high - low) * 0.05 || 1;
  return linearScale([low - pad, high + pad], range);
}

/** Return the scale of a parameter's axis. */
function parameterScale(parameter, values, range) {
  if (parameter.choices) return choiceScale(parameter.choices, range);
  let [low, high] = extent([...values, ...(parameter.range || [])]);
  if (parameter.log && low > 0) return logScale(low === high ? [low / 2, high * 2] : [low, high], range);
  if (low === high) [low, high] = [low - 1, high + 1];
  return linearScale([low, high], range);
}

/** Return how many ticks there is room for. A vertical range goes upwards, from more pixels to fewer. */
function ticksFor(from, to) {
  const room = Math.floor(Math.abs(to - from) / (to < from ? 36 : 70));
  return Math.max(2, Math.min(8, room));
}

function niceTicks(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough) * power;
  const values = [];
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high + step * 1e-9; index += 1) {
    values.push(Number((index * step).toPrecision(12)));
  }
  return values.map(tick);
}

function logTicks(low, high, count) {
  for (const factors of [[1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 5], [1, 3], [1]]) {
    const values = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
      for (const factor of factors) {
        const value = Number((factor * 10 ** power).toPrecision(3));
        if (value >= low && value <= high) values.push(value);
      }
    }
    if (values.length > count && factors.length > 1) continue;
    const ticks = withEnds(values, low, high, count);
    return ticks.length < 2 ? niceTicks(low, high, count) : ticks.map(tick);
  }
  return [];
}

/** Add a round number near each end of a logarithmic axis that lacks one: from 28 to 480 it would begin at 50. */
function withEnds(values, low, high, count) {
  const near = Math.log(high / low) / (2 * count);
  const [first, last] = [twoDigits(low, Math.ceil), twoDigits(high, Math.floor)];
  const before = first <= high && (!values.length || Math.log(values[0] / first) > near) ? [first] : [];
  const after = last > first && (!values.length || Math.log(last / values.at(-1)) > near) ? [last] : [];
  return [...before, ...values, ...after];
}

function twoDigits(value, towards) {
  const unit = 10 ** (Math.floor(Math.log10(value)) - 1);
  return Number((towards(value / unit) * unit).toPrecision(2));
}

function tick(value) {
  return { value, label: short(value) };
}
