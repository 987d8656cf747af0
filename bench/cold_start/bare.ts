// Nothing: what starting the runtime takes.
export {};
