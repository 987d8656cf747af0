// The GRU step in WebAssembly SIMD (AssemblyScript), compiled behind lstm.as: what kernels/packed/gru_cell.ts computes, to the
// last bit.
//
// A vector's four lanes are four units. Their gates stand one behind the other, so that nothing is turned round between
// products, sums and tables.

// The outputs of table `which` whose addresses stand at `at`.
// @ts-ignore: decorator
@inline function lookUp(at: usize, which: usize): v128 {
  let outputs = gather(at, 4);
  if (!i32x4.all_true(outputs)) {
    complete(at, 4, which);
    outputs = gather(at, 4);
  }
  return outputs;
}

// A sum whose constants stand at `k`, clamped but not rounded.
// @ts-ignore: decorator
@inline function addClamped(a: v128, b: v128, k: usize): v128 {
  const scaleA = v128.load(k, SUM_SCALE_A), scaleB = v128.load(k, SUM_SCALE_B), factor = v128.load(k, SUM_FACTOR);
  const sum = add(a, b, k, load<i32>(k, SUM_FIXED), scaleA, scaleB, factor);
  return clamp(sum, v128.load(k, SUM_LOWER), v128.load(k, SUM_UPPER));
}

// A product whose constants stand at `k`, clamped but not rounded.
// @ts-ignore: decorator
@inline function multiplyClamped(a: v128, b: v128, k: usize): v128 {
  return multiply(
    a,
    b,
    v128.load(k, PRODUCT_MULTIPLIER),
    v128.load(k, PRODUCT_LOWER),
    v128.load(k, PRODUCT_UPPER),
  );
}

// Writes where the outputs of a gate of `units` bytes of units stand, in place of what the hidden state gives, `pitch` bytes
// apart at `own`; projected inputs are at `given`.
function addressAll(binding: usize, gate: usize, own: usize, pitch: usize, given: usize, units: usize): void {
  const k = binding + BINDING_GATE_SUMS + gate * SUM_SIZE, fixed = load<i32>(k, SUM_FIXED);
  const scaleA = v128.load(k, SUM_SCALE_A), scaleB = v128.load(k, SUM_SCALE_B), factor = v128.load(k, SUM_FACTOR);
  const lower = v128.load(k, SUM_LOWER), upper = v128.load(k, SUM_UPPER);
  const base = v128.load32_splat(RUNNING + CELL_GATE_TABLES + (gate << 2));
  given += gate << 4;
  for (const end = given + 3 * units; given < end; given += 48, own += pitch) {
    const sum = add(v128.load(given), v128.load(own), k, fixed, scaleA, scaleB, factor);
    v128.store(own, addresses(clamp(sum, lower, upper), base));
  }
}

// @ts-ignore: decorator
@inline function resetProduct(binding: usize, gate: usize, x: v128): v128 {
  const scaled = f32x4.mul(lookUp(gate, 0), v128.load(binding, BINDING_RESET_SCALE));
  return multiplyClamped(scaled, x, binding + BINDING_RESET);
}

/** Runs steps as `runSteps` does, of a GRU: CELL of a row's description is its hidden state once more, float32. */
export function runGRUSteps(
  cell: usize,
  rows: usize,
  count: i32,
  inputStride: usize,
  outStride: usize,
  steps: i32,
): void {
  if (load<usize>(CURRENT) != cell) {
    memory.copy(RUNNING, cell, CELL_PATIENCE);
    memory.copy(RUNNING_GRU, cell + CELL_SIZE, GRU_SIZE);
    store<usize>(CURRENT, cell);
  }
  const groups = load<i32>(RUNNING, CELL_HIDDEN_GROUPS), form = load<i32>(RUNNING, CELL_HIDDEN_FORM);
  const weights = load<usize>(RUNNING, CELL_HIDDEN_WEIGHTS), quad = quadOf(form);
  const gateCount = load<i32>(RUNNING_GRU, GRU_GATES), step = <usize> gateCount << 4;
  const width = load<usize>(RUNNING_GRU, GRU_WIDTH), units = load<usize>(RUNNING_GRU, GRU_UNITS);
  const complemented = load<i32>(RUNNING_GRU, GRU_COMPLEMENTED);
  const newGroups = load<i32>(RUNNING_GRU, GRU_NEW_GROUPS), newForm = load<i32>(RUNNING_GRU, GRU_NEW_FORM);
  const newOperand = load<usize>(RUNNING_GRU, GRU_NEW_OPERAND), newQuad = quadOf(newForm);
  const newTop = topOf(newGroups);
  const tile = count > 1 ? tileOf(groups) : width;
  const top = topOf(groups), length = lengthOf(form, groups), last = rows + <usize> (count - 1) * ROW_SIZE;
  for (let t: usize = 0; t < <usize> steps; t++) {
    let w = weights;
    for (let block: usize = 0; block < width; block += tile) {
      for (let row = rows; row <= last; row += ROW_SIZE << 1) {
        const y = row < last ? load<usize>(row + ROW_SIZE, ROW_HIDDEN) : 0, gates = load<usize>(row, ROW_GATES);
        const more = y ? load<usize>(row + ROW_SIZE, ROW_GATES) + block : 0, end = gates + min(block + tile, width);
        dots(form, w, load<usize>(row, ROW_HIDDEN), y, groups, gates + block, more, end);
      }
      w += tile * (groups + 1);
    }
    for (let row = rows; row <= last; row += ROW_SIZE) {
      const gates = load<usize>(row, ROW_GATES), to = load<usize>(row, ROW_HIDDEN), h = load<usize>(row, ROW_CELL);
      const end = h + units, given = <usize> load<u32>(load<usize>(row, ROW_INPUTS) + t * inputStride);
      const binding = load<usize>(row, ROW_PROJECTION);
      projectTurns(binding + BINDING_SIZE, gates, gates + units * gateCount, gateCount);
      addressAll(binding, 0, gates, step, given, units);
      addressAll(binding, 1, gates + 16, step, given, units);
      // Where what the new gate reads stands, and how far on each time.
      let entering = gates + 32, pitch = step;
      if (gateCount == 3) {
        for (let at = h, own = gates; at < end; at += 16, own += step) {
          v128.store(own, f32x4.nearest(resetProduct(binding, own, v128.load(own, 32))), 32);
        }
      } else {
        const newOffset = v128.load(RUNNING_GRU, GRU_NEW_OFFSET);
        let all = i32x4.splat(0), reset = newOperand;
        for (let at = h, own = gates; at < end; at += 16, own += step) {
          const value = resetProduct(binding, own, v128.load(at));
          all = gatherUp(all, store4(value, newOffset, reset, newForm, newTop), newForm);
          reset += newQuad;
        }
        settle(all, newOperand + lengthOf(newForm, newGroups), newForm);
        entering = gates + width;
        pitch = 16;
        const stop = entering + load<usize>(RUNNING_GRU, GRU_NEW_WIDTH);
        dots(newForm, load<usize>(RUNNING_GRU, GRU_NEW_WEIGHTS), newOperand, 0, newGroups, entering, 0, stop);
        projectTurns(load<usize>(RUNNING_GRU, GRU_NEW_PROJECTION), entering, entering + units, 1);
      }
      addressAll(binding, 2, entering, pitch, given, units);
      const offset = v128.load(RUNNING, CELL_HIDDEN_OFFSET), scale = v128.load32_splat(OUT_SCALE);
      let all = i32x4.splat(0), hidden = to, out = load<usize>(row, ROW_OUTPUT) + t * outStride;
      for (let at = h, own = gates; at < end; at += 16, own += step, out += 16) {
        const update = lookUp(own + 16, 1), candidate = lookUp(entering, 2), before = v128.load(at);
        const change = f32x4.nearest(addClamped(before, candidate, binding + BINDING_CHANGE));
        const kept = f32x4.nearest(multiplyClamped(update, change, binding + BINDING_UPDATE));
        const state = round(addClamped(kept, complemented ? before : candidate, binding + BINDING_STATE_SUM));
        v128.store(at, state);
        v128.store(out, f32x4.mul(state, scale));
        all = gatherUp(all, store4(state, offset, hidden, form, top), form);
        hidden += quad;
        entering += pitch;
      }
      settle(all, to + length, form);
    }
  }
}
