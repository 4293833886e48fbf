// Stands in for Verilator's header.
#pragma once
using svBit = unsigned char;
struct VerilatedContext {
    int seed = 0;
    void randReset(int) {}
    void traceEverOn(bool) {}
    void randSeed(int value) { seed = value - 1; }
};
