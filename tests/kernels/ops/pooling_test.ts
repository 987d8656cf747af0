import { testProperties } from "../property.ts";
import { POOLING } from "./pooling.ts";

testProperties(POOLING);
