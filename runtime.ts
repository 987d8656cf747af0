export * from "./src/dtype.ts";
