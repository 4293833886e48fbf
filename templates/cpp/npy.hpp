// Reads and writes numpy's .npy files of integers.
//
//   npy::Array<int32_t> x = npy::load<int32_t>("input.npy");   // any integer dtype, exactly
//   npy::save("output.npy", {n, h, w, c}, values);              // C order, little-endian
//
// load converts int8..int64 and uint8..uint32 (and bool) to T and refuses a value that T cannot
// hold. Every failure is an npy::Error whose message names the file.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a little-endian machine is needed");

namespace npy {

struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

using Shape = std::vector<std::size_t>;

template <class T>
struct Array {
    Shape shape;
    std::vector<T> values;  // C order
};

inline std::string text(const Shape& shape) {
    std::string out = "(";
    for (std::size_t i = 0; i < shape.size(); ++i)
        out += (i ? ", " : "") + std::to_string(shape[i]);
    return out + (shape.size() == 1 ? ",)" : ")");
}

namespace detail {

// The text after a header's key: from behind "'key':" on.
inline std::string field(const std::string& header, const std::string& key,
                         const std::string& path) {
    const std::size_t at = header.find("'" + key + "'");
    const std::size_t colon = at == std::string::npos ? at : header.find(':', at);
    const std::size_t start =
        colon == std::string::npos ? colon : header.find_first_not_of(' ', colon + 1);
    if (start == std::string::npos) throw Error(path + " has a damaged .npy header: no " + key);
    return header.substr(start);
}

inline Shape parse_shape(const std::string& tuple, const std::string& path) {
    Shape shape;
    const std::size_t end = tuple.find(')');
    bool good = tuple[0] == '(' && end != std::string::npos;
    for (std::size_t i = 1; good && i < end;) {
        if (tuple[i] == ' ' || tuple[i] == ',') {
            ++i;
            continue;
        }
        std::size_t size = 0, digits = 0;
        for (; i < end && tuple[i] >= '0' && tuple[i] <= '9' && digits < 18; ++i, ++digits)
            size = 10 * size + static_cast<std::size_t>(tuple[i] - '0');
        good = digits > 0 && digits < 18;
        shape.push_back(size);
    }
    if (!good) throw Error(path + " has a damaged .npy header: shape");
    return shape;
}

// Number of elements; 0 bytes behind the header may never mean an overflowed product.
inline std::size_t count(const Shape& shape, const std::string& path) {
    std::size_t total = 1;
    for (std::size_t n : shape)
        if (__builtin_mul_overflow(total, n, &total))
            throw Error(path + " has the impossible shape " + text(shape));
    return total;
}

template <class From, class T>
void read(std::ifstream& file, std::vector<T>& values, const std::string& path) {
    std::vector<From> part(1 << 16);
    for (std::size_t done = 0; done < values.size();) {
        const std::size_t now = std::min(part.size(), values.size() - done);
        if (!file.read(reinterpret_cast<char*>(part.data()),
                       static_cast<std::streamsize>(now * sizeof(From))))
            throw Error(path + " ends before its last value");
        for (std::size_t i = 0; i < now; ++i) {
            const std::int64_t value = static_cast<std::int64_t>(part[i]);
            if (value < static_cast<std::int64_t>(std::numeric_limits<T>::min()) ||
                value > static_cast<std::int64_t>(std::numeric_limits<T>::max()))
                throw Error(path + " holds " + std::to_string(value) + " at flat index " +
                            std::to_string(done + i) + ", which does not fit in " +
                            std::to_string(8 * sizeof(T)) + " bits");
            values[done + i] = static_cast<T>(value);
        }
        done += now;
    }
}

struct Header {
    std::string dtype;
    Shape shape;
};

inline Header read_header(std::ifstream& file, const std::string& path) {
    unsigned char start[8];
    unsigned char size[4] = {};
    if (!file.read(reinterpret_cast<char*>(start), 8) || std::memcmp(start, "\x93NUMPY", 6) != 0)
        throw Error(path + " is not a .npy file");
    if (!file.read(reinterpret_cast<char*>(size), start[6] == 1 ? 2 : 4))
        throw Error(path + " ends within its header");
    const std::size_t length = size[0] | size[1] << 8 | static_cast<std::size_t>(size[2]) << 16 |
                               static_cast<std::size_t>(size[3]) << 24;
    if (length > (1u << 20)) throw Error(path + " has a damaged .npy header: its length");
    std::string header(length, ' ');
    if (!file.read(&header[0], static_cast<std::streamsize>(length)))
        throw Error(path + " ends within its header");
    const std::string descr = field(header, "descr", path);
    const std::size_t quote = descr.find('\'', 1);
    if (descr[0] != '\'' || quote == std::string::npos)
        throw Error(path + " holds records, not integers");
    if (field(header, "fortran_order", path).compare(0, 5, "False") != 0)
        throw Error(path + " is in Fortran order; save np.ascontiguousarray(x)");
    return {descr.substr(1, quote - 1), parse_shape(field(header, "shape", path), path)};
}

}  // namespace detail

template <class T>
Array<T> load(const std::string& path) {
    static_assert(std::is_integral_v<T> && !std::is_same_v<T, std::uint64_t>);
    std::ifstream file(path, std::ios::binary);
    if (!file) throw Error("cannot read " + path);
    const detail::Header header = detail::read_header(file, path);
    const std::string kind = header.dtype.size() == 3 ? header.dtype.substr(1) : "";
    const std::size_t bytes = kind.empty() ? 0 : static_cast<std::size_t>(kind[1] - '0');
    const bool known = kind == "b1" || kind == "i1" || kind == "u1" || kind == "i2" ||
                       kind == "u2" || kind == "i4" || kind == "u4" || kind == "i8";
    if (!known || header.dtype[0] == '>')
        throw Error(path + " has dtype " + header.dtype + "; integers of int8 to int64 or uint8 "
                    "to uint32 are read");
    const std::size_t count = detail::count(header.shape, path);
    const std::streampos data = file.tellg();
    file.seekg(0, std::ios::end);
    const std::size_t rest = static_cast<std::size_t>(file.tellg() - data);
    if (rest / bytes < count)
        throw Error(path + " ends before its last value: shape " + text(header.shape) + " needs " +
                    std::to_string(count) + " values");
    file.seekg(data);
    Array<T> array{header.shape, std::vector<T>(count)};
    if (kind == "b1" || kind == "u1") detail::read<std::uint8_t>(file, array.values, path);
    if (kind == "i1") detail::read<std::int8_t>(file, array.values, path);
    if (kind == "u2") detail::read<std::uint16_t>(file, array.values, path);
    if (kind == "i2") detail::read<std::int16_t>(file, array.values, path);
    if (kind == "u4") detail::read<std::uint32_t>(file, array.values, path);
    if (kind == "i4") detail::read<std::int32_t>(file, array.values, path);
    if (kind == "i8") detail::read<std::int64_t>(file, array.values, path);
    return array;
}

template <class T>
void save(const std::string& path, const Shape& shape, const T* values) {
    static_assert(std::is_integral_v<T> && !std::is_same_v<T, bool>);
    const std::string order = sizeof(T) == 1 ? "|" : "<";
    std::string header = "{'descr': '" + order + (std::is_signed_v<T> ? "i" : "u") +
                         std::to_string(sizeof(T)) + "', 'fortran_order': False, 'shape': " +
                         text(shape) + ", }";
    header.append(63 - (10 + header.size()) % 64, ' ');
    header += '\n';
    std::ofstream file(path, std::ios::binary);
    const char size[2] = {static_cast<char>(header.size() & 255),
                          static_cast<char>(header.size() >> 8)};
    file.write("\x93NUMPY\x01\x00", 8).write(size, 2) << header;
    file.write(reinterpret_cast<const char*>(values),
               static_cast<std::streamsize>(detail::count(shape, path) * sizeof(T)));
    file.close();
    if (!file) throw Error("cannot write " + path);
}

template <class T>
void save(const std::string& path, const Shape& shape, const std::vector<T>& values) {
    if (detail::count(shape, path) != values.size())
        throw Error(path + ": shape " + text(shape) + " is not that of " +
                    std::to_string(values.size()) + " values");
    save(path, shape, values.data());
}

}  // namespace npy
