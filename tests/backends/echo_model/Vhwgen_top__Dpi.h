#pragma once
#include "verilated.h"
extern "C" void hwgen_record(unsigned int stream, unsigned int word);
extern "C" void hwgen_report(unsigned int stream, svBit, svBit, svBit, svBit,
                             unsigned int most_held);
