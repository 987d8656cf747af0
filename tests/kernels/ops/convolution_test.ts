import { testProperties } from "../property.ts";
import { CONVOLUTION } from "./convolution.ts";

testProperties(CONVOLUTION);
