// First-word fall-through FIFO; cuts every combinational path between its two sides' handshakes.
//
// WIDTH   bits of a beat
// DEPTH   beats that are held at least; 0 makes wires, which cut nothing
// MEMORY  0: registers (DEPTH <= 2); 1: LUTRAM; 2: block RAM
//
// Capacity DEPTH, in memories up to the next power of two, past 32 up to the next multiple of 16;
// one more with block RAM. Throughput one beat a cycle in and out at once, with DEPTH = 1 one in
// two cycles. Latency 1, with block RAM 2. s_ready_o and m_valid_o are registers (of DEPTH = 1 the
// same one); m_data_o is a register, with LUTRAM its asynchronous read.
// Memory: a ring of as many words of WIDTH bits. Their order is that of a shift register whose next
// bit is one LUT (a de Bruijn sequence), in banks of 16 words where there are more than 32.
`default_nettype none

module fifo #(
    parameter int unsigned WIDTH  = 8,
    parameter int unsigned DEPTH  = 2,
    parameter int unsigned MEMORY = DEPTH <= 2 ? 0 : 1
) (
    input  wire logic             clk_i,
    input  wire logic             rst_i,
    input  wire logic             s_valid_i,
    output      logic             s_ready_o,
    input  wire logic [WIDTH-1:0] s_data_i,
    output      logic             m_valid_o,
    input  wire logic             m_ready_i,
    output      logic [WIDTH-1:0] m_data_o
);
  if (WIDTH < 1) begin : gen_bad_width
    $error("fifo: WIDTH must be at least 1");
  end
  if (MEMORY != 0 && DEPTH < 2) begin : gen_bad_depth
    $error("fifo: DEPTH must be at least 2 in a memory");
  end
  if (MEMORY > 2 || (MEMORY == 0 && DEPTH > 2)) begin : gen_bad_memory
    $error("fifo: MEMORY must be 0, 1 or 2, and registers hold two beats only");
  end

  wire logic push = s_valid_i && s_ready_o;

  if (DEPTH == 0) begin : gen_wires
    assign s_ready_o = m_ready_i;
    assign m_valid_o = s_valid_i;
    assign m_data_o  = s_data_i;
    wire logic unused = &{1'b0, clk_i, rst_i, push};
  end else if (DEPTH == 1) begin : gen_register
    assign s_ready_o = !m_valid_o;
    always_ff @(posedge clk_i) begin
      if (rst_i) m_valid_o <= 1'b0;
      else m_valid_o <= m_valid_o ? !m_ready_i : s_valid_i;
    end
    always_ff @(posedge clk_i) if (s_ready_o) m_data_o <= s_data_i;
    wire logic unused = &{1'b0, push};
  end else if (MEMORY == 0) begin : gen_registers
    // m_data_o holds the older beat, spare the younger one; spare is full when not ready.
    logic [WIDTH-1:0] spare;
    wire logic advance = m_ready_i || !m_valid_o;
    always_ff @(posedge clk_i) begin
      if (rst_i) begin
        s_ready_o <= 1'b1;
        m_valid_o <= 1'b0;
      end else if (advance) begin
        s_ready_o <= 1'b1;
        m_valid_o <= s_valid_i || !s_ready_o;
      end else if (push) begin
        s_ready_o <= 1'b0;
      end
    end
    always_ff @(posedge clk_i) begin
      if (advance) m_data_o <= s_ready_o ? s_data_i : spare;
      if (s_ready_o) spare <= s_data_i;
    end
  end else begin : gen_ring
    localparam int unsigned LOW = DEPTH > 32 ? 4 : $clog2(DEPTH);
    localparam int unsigned BANKS = DEPTH > 32 ? (DEPTH + 15) / 16 : 1;
    localparam int unsigned ADDR_BITS = BANKS > 1 ? LOW + $clog2(BANKS) : LOW;
    localparam int unsigned TAP = LOW == 5 ? 2 : LOW > 1 ? LOW - 2 : 0;
    logic [ADDR_BITS-1:0] write_addr, read_addr;
    logic filled;  // a word is in the ring
    logic pop;

    function automatic logic [ADDR_BITS-1:0] behind(input logic [ADDR_BITS-1:0] addr);
      logic [LOW-1:0] low;
      logic in_zeros;  // the sequence of a linear feedback shift register, and all zeros
      low = addr[LOW-1:0];
      in_zeros = LOW'(low << 1) == '0;
      behind = addr;
      if (BANKS > 1 && in_zeros && low != '0) begin
        if (addr >> LOW == ADDR_BITS'(BANKS - 1)) behind = '0;
        else behind = addr + ADDR_BITS'(1 << LOW);
      end
      behind[LOW-1:0] = LOW'({low, LOW == 1 ? !low[0] : low[LOW-1] ^ low[TAP] ^ in_zeros});
    endfunction
    wire logic [ADDR_BITS-1:0] next_write = behind(write_addr);
    wire logic [ADDR_BITS-1:0] next_read = behind(read_addr);

    always_ff @(posedge clk_i) begin
      if (rst_i) begin
        s_ready_o  <= 1'b1;
        filled     <= 1'b0;
        write_addr <= '0;
        read_addr  <= '0;
      end else begin
        if (push) write_addr <= next_write;
        if (pop) read_addr <= next_read;
        // The same for bit 0, but not as an enable: with one for all bits Yosys would find an
        // address register for the memory and make it twice.
        read_addr[0] <= read_addr[0] ^ (pop && next_read[0] != read_addr[0]);
        if (push != pop) begin
          s_ready_o <= pop || next_write != read_addr;
          filled    <= push || next_read != write_addr;
        end
      end
    end

    // A word is read a cycle after its write at the earliest, so no read meets its own write.
    if (MEMORY == 2) begin : gen_block
      (* ram_style = "block" *) logic [WIDTH-1:0] ram[BANKS << LOW];
      assign pop = filled && (m_ready_i || !m_valid_o);
      always_ff @(posedge clk_i) begin
        if (rst_i) m_valid_o <= 1'b0;
        else if (pop) m_valid_o <= 1'b1;
        else if (m_ready_i) m_valid_o <= 1'b0;
      end
      always_ff @(posedge clk_i) begin
        if (push) ram[write_addr] <= s_data_i;
        if (pop) m_data_o <= ram[read_addr];
      end
    end else begin : gen_lutram
      (* ram_style = "distributed" *) logic [WIDTH-1:0] ram[BANKS << LOW];
      assign pop = filled && m_ready_i;
      assign m_valid_o = filled;
      assign m_data_o = ram[read_addr];
      always_ff @(posedge clk_i) begin
        if (push) ram[write_addr] <= s_data_i;
      end
    end
  end
endmodule

`default_nettype wire
