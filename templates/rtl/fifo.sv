// First-word fall-through FIFO; cuts every combinational path between its two sides' handshakes.
//
// WIDTH   bits of a beat
// DEPTH   beats that are held at least, any integer from 2
// BLOCK   1: block RAM; 0: LUTRAM, or two registers where DEPTH = 2. By default large and deep
//         FIFOs are block RAM.
//
// Capacity DEPTH (DEPTH + 1 with BLOCK). Throughput one beat a cycle in and out at once.
// Latency 1 (2 with BLOCK). s_ready_o and m_valid_o are registers; m_data_o is a register, with
// LUTRAM its asynchronous read.
// Memory: one word of WIDTH bits for each of DEPTH addresses, used as a ring.
`default_nettype none

module fifo #(
    parameter int unsigned WIDTH = 8,
    parameter int unsigned DEPTH = 2,
    parameter int unsigned BLOCK = (WIDTH * DEPTH > 8192 && DEPTH > 256) ? 1 : 0
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
  if (DEPTH < 2) begin : gen_bad_depth
    $error("fifo: DEPTH must be at least 2");
  end

  wire logic push = s_valid_i && s_ready_o;

  if (DEPTH == 2 && BLOCK == 0) begin : gen_registers
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
    localparam int unsigned PTR_BITS = $clog2(DEPTH);
    localparam int unsigned COUNT_BITS = $clog2(DEPTH + 1);
    logic [PTR_BITS-1:0] write_ptr, read_ptr;
    logic [COUNT_BITS-1:0] count;
    logic filled;  // count != 0
    logic pop;

    always_ff @(posedge clk_i) begin
      if (rst_i) begin
        s_ready_o <= 1'b1;
        filled    <= 1'b0;
        count     <= '0;
        write_ptr <= '0;
        read_ptr  <= '0;
      end else begin
        if (push) write_ptr <= write_ptr == PTR_BITS'(DEPTH - 1) ? '0 : write_ptr + 1'b1;
        if (pop) read_ptr <= read_ptr == PTR_BITS'(DEPTH - 1) ? '0 : read_ptr + 1'b1;
        if (push != pop) begin
          count     <= count + {{(COUNT_BITS - 1) {pop}}, 1'b1};  // +1 or -1
          s_ready_o <= pop || count != COUNT_BITS'(DEPTH - 1);
          filled    <= push || count != COUNT_BITS'(1);
        end
      end
    end

    // A word is read a cycle after its write at the earliest, so no read meets its own write.
    if (BLOCK != 0) begin : gen_block
      (* ram_style = "block" *) logic [WIDTH-1:0] ram[DEPTH];
      assign pop = filled && (m_ready_i || !m_valid_o);
      always_ff @(posedge clk_i) begin
        if (rst_i) m_valid_o <= 1'b0;
        else if (pop) m_valid_o <= 1'b1;
        else if (m_ready_i) m_valid_o <= 1'b0;
      end
      always_ff @(posedge clk_i) begin
        if (push) ram[write_ptr] <= s_data_i;
        if (pop) m_data_o <= ram[read_ptr];
      end
    end else begin : gen_lutram
      (* ram_style = "distributed" *) logic [WIDTH-1:0] ram[DEPTH];
      assign pop = filled && m_ready_i;
      assign m_valid_o = filled;
      assign m_data_o = ram[read_ptr];
      always_ff @(posedge clk_i) begin
        if (push) ram[write_ptr] <= s_data_i;
      end
    end
  end
endmodule

`default_nettype wire
