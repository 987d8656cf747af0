/** The properties of all kernels. */
import { FLOAT_STEPS } from "../cells/float_executor.ts";
import { GRAM } from "./float/gram.ts";
import { ACTIVATION } from "./numeric/activation.ts";
import { FLOAT_FUNCTION_RULES } from "./numeric/float_functions.ts";
import { QUANTIZE } from "./numeric/quantize.ts";
import { LOWER } from "./packed/lower.ts";
import { CONCAT } from "./ops/concat.ts";
import { CONVOLUTION } from "./ops/convolution.ts";
import { ELEMENTWISE } from "./ops/elementwise.ts";
import { EMBEDDING } from "./ops/embedding.ts";
import { FAKE_QUANTIZE } from "./ops/fake_quantize.ts";
import { LINEAR } from "./ops/linear.ts";
import { LINEAR_DYNAMIC } from "./ops/linear_dynamic.ts";
import { NORMALIZE } from "./ops/normalize.ts";
import { OVER_TIME } from "./ops/over_time.ts";
import { POOLING } from "./ops/pooling.ts";
import { SOFTMAX } from "./ops/softmax.ts";
import type { KernelProperty } from "./property.ts";

export const KERNEL_PROPERTIES: readonly KernelProperty[] = [
  ...ACTIVATION,
  ...FLOAT_FUNCTION_RULES,
  ...QUANTIZE,
  ...CONCAT,
  ...CONVOLUTION,
  ...ELEMENTWISE,
  ...EMBEDDING,
  ...FAKE_QUANTIZE,
  ...LINEAR,
  ...LINEAR_DYNAMIC,
  ...NORMALIZE,
  ...OVER_TIME,
  ...POOLING,
  ...SOFTMAX,
  ...FLOAT_STEPS,
  ...GRAM,
  ...LOWER,
];
