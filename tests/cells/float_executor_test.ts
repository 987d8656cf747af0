import { testProperties } from "../kernels/property.ts";
import { FLOAT_STEPS } from "./float_executor.ts";

testProperties(FLOAT_STEPS);
