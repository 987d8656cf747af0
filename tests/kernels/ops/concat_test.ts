import { testProperties } from "../property.ts";
import { CONCAT } from "./concat.ts";

testProperties(CONCAT);
