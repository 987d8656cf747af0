import { testProperties } from "../property.ts";
import { LOWER } from "./lower.ts";

testProperties(LOWER);
