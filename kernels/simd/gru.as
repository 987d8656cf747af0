// The GRU step in WebAssembly SIMD (AssemblyScript), compiled after lstm.as. It returns the same
// bits as kernels/packed/gru_cell.ts.
//
// The four lanes of a vector are four units. The gates of these units are consecutive vectors, so
// that no transposition is needed between products, sums and tables.

// Loads outputs of table `which`; their addresses are at `at`.
@inline function lookUp(at: usize, which: usize): v128 {
  let outputs = gather(at, 4);
  if (!i32x4.all_true(outputs)) {
    complete(at, 4, which);
    outputs = gather(at, 4);
  }
  return outputs;
}

// A sum with the constants at `k`, clamped but not rounded.
@inline function addClamped(a: v128, b: v128, k: usize): v128 {
  const scaleA = v128.load(k, SUM_SCALE_A), scaleB = v128.load(k, SUM_SCALE_B), factor = v128.load(k, SUM_FACTOR);
  const sum = add(a, b, k, load<i32>(k, SUM_FIXED), scaleA, scaleB, factor);
  return clamp(sum, v128.load(k, SUM_LOWER), v128.load(k, SUM_UPPER));
}

// A product with the constants at `k`, clamped but not rounded.
@inline function multiplyClamped(a: v128, b: v128, k: usize): v128 {
  return multiply(
    a,
    b,
    v128.load(k, PRODUCT_MULTIPLIER),
    v128.load(k, PRODUCT_LOWER),
    v128.load(k, PRODUCT_UPPER),
  );
}

// Replaces the projections of a gate from the hidden state, at `own`, with the addresses of the
// gate's outputs; the projected inputs are at `given`. `units` is in bytes; pitches are the
// distances between vectors.
function addressAll(
  binding: usize,
  gate: usize,
  own: usize,
  ownPitch: usize,
  given: usize,
  givenPitch: usize,
  units: usize,
): void {
  const k = binding + BINDING_GATE_SUMS + gate * SUM_SIZE, fixed = load<i32>(k, SUM_FIXED);
  const scaleA = v128.load(k, SUM_SCALE_A), scaleB = v128.load(k, SUM_SCALE_B), factor = v128.load(k, SUM_FACTOR);
  const lower = v128.load(k, SUM_LOWER), upper = v128.load(k, SUM_UPPER);
  const base = v128.load32_splat(RUNNING + CELL_GATE_TABLES + (gate << 2));
  for (let unit: usize = 0; unit < units; unit += 16, given += givenPitch, own += ownPitch) {
    const sum = add(v128.load(given), v128.load(own), k, fixed, scaleA, scaleB, factor);
    v128.store(own, addresses(clamp(sum, lower, upper), base));
  }
}

// @ts-ignore: decorator
@inline function resetProduct(binding: usize, gate: usize, x: v128): v128 {
  const scaled = f32x4.mul(lookUp(gate, 0), v128.load(binding, BINDING_RESET_SCALE));
  return multiplyClamped(scaled, x, binding + BINDING_RESET);
}

// Turns the sums of units at `gates`, `step` bytes apart, into addresses of their reset and update
// gates. `first` is the index of the first vector of units.
@inline function openGates(binding: usize, first: usize, gates: usize, step: usize, given: usize, units: usize): void {
  const count = <i32> (step >> 4);
  projectTurns(binding + BINDING_SIZE, first * count, gates, gates + units * count, count);
  addressAll(binding, 0, gates, step, given, 48, units);
  addressAll(binding, 1, gates + 16, step, given + 16, 48, units);
}

// Multiplies the new gate's part from the hidden state by the reset gate.
@inline function resetSums(binding: usize, gates: usize, units: usize): void {
  for (const end = gates + 3 * units; gates < end; gates += 48) {
    v128.store(gates, f32x4.nearest(resetProduct(binding, gates, v128.load(gates, 32))), 32);
  }
}

// Multiplies the hidden state by the reset gate, and stores the operand at `to`. Returns the
// argument of `settle`.
@inline function resetStates(binding: usize, h: usize, gates: usize, units: usize, to: usize, form: i32, top: usize): v128 {
  const offset = v128.load(RUNNING, CELL_SECOND + SECOND_OFFSET), quad = quadOf(form);
  let all = i32x4.splat(0);
  for (const end = h + units; h < end; h += 16, gates += 32, to += quad) {
    all = gatherUp(all, store4(resetProduct(binding, gates, v128.load(h)), offset, to, form, top), form);
  }
  return all;
}

// Bytes of sums, rounded up to whole blocks of rows.
@inline function wholeBlocks(bytes: usize): usize {
  return (bytes + BLOCK - 1) & ~(BLOCK - 1);
}

// Computes hidden states from the addresses of the update and new gates of units: float32 at `h`
// and `out`, and an operand at `hidden`. Returns the argument of `settle`.
function blend(
  binding: usize,
  updates: usize,
  updatePitch: usize,
  candidates: usize,
  candidatePitch: usize,
  h: usize,
  units: usize,
  out: usize,
  hidden: usize,
  form: i32,
  top: usize,
): v128 {
  const complemented = load<i32>(RUNNING_GRU, GRU_COMPLEMENTED), quad = quadOf(form);
  const offset = v128.load(RUNNING, CELL_HIDDEN_OFFSET), scale = v128.load32_splat(OUT_SCALE);
  let all = i32x4.splat(0);
  for (const end = h + units; h < end; h += 16, out += 16) {
    const update = lookUp(updates, 1), candidate = lookUp(candidates, 2), before = v128.load(h);
    const change = f32x4.nearest(addClamped(before, candidate, binding + BINDING_CHANGE));
    const kept = f32x4.nearest(multiplyClamped(update, change, binding + BINDING_UPDATE));
    const state = round(addClamped(kept, complemented ? before : candidate, binding + BINDING_STATE_SUM));
    v128.store(h, state);
    v128.store(out, f32x4.mul(state, scale));
    all = gatherUp(all, store4(state, offset, hidden, form, top), form);
    hidden += quad;
    updates += updatePitch;
    candidates += candidatePitch;
  }
  return all;
}

/**
 * Runs steps of a GRU like `runSteps`. CELL of a row's description is the address of its hidden
 * state in float32. If the state is reset before its product, SECOND holds the operand; with split
 * gates, it is followed by values of the units that are needed after all states are reset: update
 * gates, and the inputs' part of new gates.
 */
export function runGRUSteps(
  cell: usize,
  rows: usize,
  count: i32,
  inputStride: usize,
  outStride: usize,
  steps: i32,
  split: i32,
): void {
  if (load<usize>(CURRENT) != cell) memory.copy(RUNNING_GRU, cell + CELL_SIZE, GRU_SIZE);
  begin(cell);
  const all = load<usize>(RUNNING_GRU, GRU_UNITS), share = split ? min<usize>(<usize> split << 2, all) : all;
  const apart = share < all, target = apart ? ROW_NEXT : ROW_HIDDEN;
  const step = <usize> load<i32>(RUNNING_GRU, GRU_GATES) << 4, resetFirst = step < 48;
  const groups = load<i32>(RUNNING, CELL_HIDDEN_GROUPS), form = load<i32>(RUNNING, CELL_HIDDEN_FORM);
  const inputGroups = split ? load<i32>(RUNNING, CELL_INPUT_GROUPS) : 0, inputForm = load<i32>(RUNNING, CELL_INPUT_FORM);
  const inputProjection = load<usize>(RUNNING, CELL_INPUT_PROJECTION), quad = quadOf(form);
  const newGroups = load<i32>(RUNNING, CELL_SECOND + SECOND_GROUPS), newForm = load<i32>(RUNNING, CELL_SECOND + SECOND_FORM);
  const newProjection = load<usize>(RUNNING, CELL_SECOND + SECOND_PROJECTION), newTop = topOf(newGroups);
  const newLength = lengthOf(newForm, newGroups), newQuad = quadOf(newForm);
  // Sums from the hidden state, followed by those from the input or from the reset state.
  const sums = wholeBlocks(share * (step >> 4)), top = topOf(groups), length = lengthOf(form, groups);
  const last = rows + <usize> (count - 1) * ROW_SIZE;
  for (let t = 0, inputStep: usize = 0, outStep: usize = 0; t < steps; t++, inputStep += inputStride, outStep += outStride) {
    let w = load<usize>(RUNNING, CELL_HIDDEN_WEIGHTS), inputWeights = load<usize>(RUNNING, CELL_INPUT_WEIGHTS);
    for (let first: usize = 0; first < all; first += share) {
      const units = min(share, all - first), size = wholeBlocks(units * (step >> 4)), inputSize = wholeBlocks(units * 3);
      const later = first > 0, more = first + share < all, vectors = first >> 4;
      if (inputGroups) products(rows, last, inputForm, inputWeights, inputGroups, ROW_INPUTS, inputStep, sums, inputSize);
      products(rows, last, form, w, groups, ROW_HIDDEN, 0, 0, size);
      for (let row = rows; row <= last; row += ROW_SIZE) {
        const gates = load<usize>(row, ROW_GATES), binding = load<usize>(row, ROW_PROJECTION);
        const h = load<usize>(row, ROW_CELL) + first;
        let given = gates + sums;
        if (inputGroups) projectTurns(inputProjection, 3 * vectors, given, given + 3 * units, 3);
        else given = inputOf(row, inputStep) + 3 * first;
        openGates(binding, vectors, gates, step, given, units);
        if (resetFirst) {
          const reset = load<usize>(row, ROW_SECOND), to = reset + vectors * newQuad;
          settlePart(resetStates(binding, h, gates, units, to, newForm, newTop), reset + newLength, newForm, later, more);
          for (let k: usize = 0, kept = reset + newLength + 16 + 2 * first; split && k < units; k += 16, kept += 32) {
            v128.store(kept, v128.load(gates + 2 * k, 16));
            v128.store(kept, v128.load(given + 3 * k, 32), 16);
          }
          continue;
        }
        resetSums(binding, gates, units);
        addressAll(binding, 2, gates + 32, 48, given + 32, 48, units);
        const out = load<usize>(row, ROW_OUTPUT) + outStep + first, next = load<usize>(row + target);
        const stored = blend(binding, gates + 16, 48, gates + 32, 48, h, units, out, next + vectors * quad, form, top);
        settlePart(stored, next + length, form, later, more);
      }
      w += size * (groups + 1);
      inputWeights += inputSize * (inputGroups + 1);
    }
    w = load<usize>(RUNNING, CELL_SECOND + SECOND_WEIGHTS);
    for (let first: usize = 0; resetFirst && first < all; first += share) {
      const units = min(share, all - first), size = wholeBlocks(units), vectors = first >> 4;
      products(rows, last, newForm, w, newGroups, ROW_SECOND, 0, sums, size);
      for (let row = rows; row <= last; row += ROW_SIZE) {
        const gates = load<usize>(row, ROW_GATES), binding = load<usize>(row, ROW_PROJECTION), entering = gates + sums;
        const kept = load<usize>(row, ROW_SECOND) + newLength + 16 + 2 * first;
        const given = split ? kept + 16 : inputOf(row, inputStep) + 32;
        projectTurns(newProjection, vectors, entering, entering + units, 1);
        addressAll(binding, 2, entering, 16, given, split ? 32 : 48, units);
        const out = load<usize>(row, ROW_OUTPUT) + outStep + first, next = load<usize>(row + target);
        const updates = split ? kept : gates + 16, h = load<usize>(row, ROW_CELL) + first;
        const stored = blend(binding, updates, 32, entering, 16, h, units, out, next + vectors * quad, form, top);
        settlePart(stored, next + length, form, first > 0, first + share < all);
      }
      w += size * (newGroups + 1);
    }
    if (apart) replaceHidden(rows, last, length);
  }
}
