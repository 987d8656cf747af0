import { testProperties } from "../property.ts";
import { GRAM } from "./gram.ts";

testProperties(GRAM);
