// Reads params.bin and refuses one that is not the model's.
#pragma once

#include <fstream>
#include <stdexcept>
#include <string>

#include "tensor.hpp"

// CRC-32 as zlib computes it.
inline std::uint32_t crc32(const std::vector<char>& bytes) {
    std::uint32_t table[256];
    for (std::uint32_t i = 0; i < 256; ++i) {
        table[i] = i;
        for (int bit = 0; bit < 8; ++bit)
            table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xEDB88320u : 0u);
    }
    std::uint32_t crc = ~0u;
    for (const char byte : bytes)
        crc = crc >> 8 ^ table[(crc ^ static_cast<unsigned char>(byte)) & 255];
    return ~crc;
}

inline Params load_params(const std::string& path, size_t length, std::uint32_t crc) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    if (!file) throw std::runtime_error("cannot read " + path);
    const size_t found = static_cast<size_t>(file.tellg());
    if (found != length)
        throw std::runtime_error(path + " has " + std::to_string(found) + " bytes, not " +
                                 std::to_string(length) +
                                 ": it is damaged or of another build; build again");
    Params params{std::vector<char>(length)};
    file.seekg(0);
    if (!file.read(params.bytes.data(), static_cast<std::streamsize>(length)) ||
        crc32(params.bytes) != crc)
        throw std::runtime_error(path + " is damaged or of another build (its digest differs); "
                                 "build again");
    return params;
}
