// What the generated table of a bench (see bench.py) offers to bench.cpp.
#pragma once
#include <cstdint>
#include <vector>

struct Pin {
    void* at;         // the model's storage of the port, little endian
    unsigned bytes;   // size of that storage
};

struct Dut {
    Pin clk, rst, s_valid, s_ready, s_data, m_valid, m_ready, m_data;
    std::vector<unsigned> in_widths, out_widths;  // bits of every port's beat
};

std::vector<Dut> open_model(int seed);  // unreset registers start at random values
void eval_model();
void close_model();
