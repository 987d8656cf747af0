/**
 * Runs golden files.
 *
 * @module
 */
import { type Allowed, ALLOWLIST } from "./allowlist.ts";
import { Check, Tally } from "./check.ts";
import type { Kind } from "./kind.ts";
import { activationKind } from "./kinds/activation.ts";
import { concatKind } from "./kinds/concat.ts";
import { convolutionKind } from "./kinds/convolution.ts";
import { elementwiseKind } from "./kinds/elementwise.ts";
import { embeddingKind } from "./kinds/embedding.ts";
import { gruDynamicKind, gruKind } from "./kinds/gru.ts";
import { linearKind } from "./kinds/linear.ts";
import { linearDynamicKind, lstmDynamicKind } from "./kinds/lstm_dynamic.ts";
import { lstmKind } from "./kinds/lstm.ts";
import { lstmPartsKind } from "./kinds/lstm_parts.ts";
import { lstmStubsKind } from "./kinds/lstm_stubs.ts";
import { modulesKind } from "./kinds/modules.ts";
import { normModelsKind } from "./kinds/norm_models.ts";
import { normalizeKind } from "./kinds/normalize.ts";
import { observersKind } from "./kinds/observers.ts";
import { overTimeKind } from "./kinds/over_time.ts";
import { quantizeKind } from "./kinds/quantize.ts";
import { softmaxKind } from "./kinds/softmax.ts";
import { torchModelsKind } from "./kinds/torch_models.ts";
import { fakeQuantizeKind, weightsKind } from "./kinds/weights.ts";
import { Field, Malformed } from "./read.ts";

/** Every kind of golden file. */
export const KINDS: readonly Kind[] = [
  quantizeKind,
  linearKind,
  elementwiseKind,
  activationKind,
  softmaxKind,
  concatKind,
  normalizeKind,
  overTimeKind,
  convolutionKind,
  embeddingKind,
  observersKind,
  fakeQuantizeKind,
  weightsKind,
  lstmKind,
  lstmStubsKind,
  linearDynamicKind,
  lstmDynamicKind,
  gruKind,
  gruDynamicKind,
  torchModelsKind,
  modulesKind,
  normModelsKind,
  lstmPartsKind,
];

/** A case, or a whole file, that failed. */
export interface Failure {
  readonly file: string;
  /** The case; empty where the file itself is at fault. */
  readonly name: string;
  readonly reason: string;
}

/** A case that differs from torch as the allowlist says. */
export interface Excused {
  readonly file: string;
  readonly name: string;
  readonly allowed: Allowed;
}

/** What came of a run. */
export interface Outcome {
  passed: number;
  readonly failures: Failure[];
  readonly excused: Excused[];
  readonly tally: Tally;
}

/** An outcome before anything ran. */
export function newOutcome(): Outcome {
  return { passed: 0, failures: [], excused: [], tally: new Tally() };
}

function reasonOf(error: unknown): string {
  return error instanceof Malformed
    ? error.message
    : `${(error as Error).name}: ${(error as Error).message}`;
}

/**
 * Says why a case fails, or null: what differs must be what the allowlist says, and all of that
 * must differ.
 */
function judge(check: Check, allowed: Allowed | undefined): string | null {
  const found = check.differences.map(({ path }) => path);
  const listed = allowed?.differs ?? [];
  const unlisted = check.differences.filter(({ path }) => !listed.includes(path));
  const agreeing = listed.filter((text) => !found.includes(text));
  if (unlisted.length > 0) {
    const first = unlisted.slice(0, 3).map(({ path, torch, here }) =>
      `${path}: torch ${torch}, here ${here}`
    );
    return `${unlisted.length} of ${check.compared} values differ: ${first.join("; ")}`;
  }
  if (agreeing.length > 0) {
    return `listed as different from torch, but agrees: ${agreeing.join("; ")}`;
  }
  return check.compared === 0 && listed.length === 0 ? "nothing was compared" : null;
}

function matches({ name: expected }: Allowed, name: string): boolean {
  return typeof expected === "string" ? expected === name : expected.test(name);
}

/** The kind of a golden file, by its name. */
export function kindOf(file: string): Kind | undefined {
  return KINDS.find(({ files }) => files.test(file));
}

/** Orders golden files by kind, then name: the order of the table's rows. */
export function compareFiles(a: string, b: string): number {
  const order = (file: string) => KINDS.findIndex(({ files }) => files.test(file));
  return order(a) - order(b) || (a < b ? -1 : 1);
}

/** Runs the cases of one golden file; what goes wrong is a failure, not an error. */
export async function runFile(
  file: string,
  text: string,
  outcome: Outcome,
  allowlist: readonly Allowed[] = ALLOWLIST,
): Promise<void> {
  const fail = (name: string, reason: string) => void outcome.failures.push({ file, name, reason });
  const kind = kindOf(file);
  if (kind === undefined) return fail("", "a golden file of unknown kind");
  let cases: Field[];
  try {
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch (error) {
      return fail("", `not JSON, or cut off: ${(error as Error).message}`);
    }
    const root = new Field(json, "");
    root.get("meta").get("torch").string();
    cases = root.get("cases").list();
    if (cases.length === 0) return fail("", "cases: expected 1 or more, got none");
  } catch (error) {
    return fail("", reasonOf(error));
  }
  for (const golden of cases) {
    let name = golden.path;
    try {
      name = kind.nameOf(golden);
      const check = new Check(outcome.tally);
      const allowed = allowlist.find((entry) =>
        file.startsWith(entry.file) && matches(entry, name)
      );
      try {
        await kind.run(golden, check);
      } catch (error) {
        if (error instanceof Malformed || allowed === undefined) throw error;
        check.differs(`refused: ${(error as Error).message}`, "a result", "an error");
      }
      const reason = judge(check, allowed);
      if (reason !== null) {
        fail(`${golden.path} ${name}`, reason);
        continue;
      }
      outcome.passed++;
      if (allowed !== undefined) outcome.excused.push({ file, name, allowed });
    } catch (error) {
      fail(name === golden.path ? name : `${golden.path} ${name}`, reasonOf(error));
    }
  }
}
