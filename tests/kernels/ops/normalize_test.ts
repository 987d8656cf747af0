import { testProperties } from "../property.ts";
import { NORMALIZE } from "./normalize.ts";

testProperties(NORMALIZE);
