// Nothing: what starting the runtime takes.
import { answered } from "./host.ts";

answered();
