// AXI4-Lite proof of axil_registers (see formal.py): for ever, from any content of the unreset
// registers, with a reset at any time, for any master that holds what it offers.
//
// Writes are followed by number, modulo 16: one number's address and data are marked, and so must
// be the pulse that they cause. An address or data beat that is lost, doubled or overtaken pairs a
// marked one with another.
`default_nettype none

module formal_axil_registers #(
    parameter int unsigned WORDS = 3
) (
    input wire logic                clk_i,
    input wire logic                any_reset_i,
    input wire logic                awvalid_i, wvalid_i, arvalid_i, bready_i, rready_i,
    input wire logic [3:0]          araddr_i,
    input wire logic [31:0]         wdata_i,
    input wire logic [32*WORDS-1:0] words_i,
    input wire logic [3:0]          any_number_i
);
  logic started = 1'b0;
  logic [3:0] marked;
  always_ff @(posedge clk_i) begin
    started <= 1'b1;
    marked  <= started ? marked : any_number_i;
  end
  wire logic rst = any_reset_i || !started;

  logic [3:0] aw_number, w_number, b_number;  // so many have passed
  wire logic [3:0] awaddr = aw_number == marked ? 4'h4 : 4'h0;
  wire logic wmark = w_number == marked;

  logic awready, wready, bvalid, arready, rvalid;
  logic [1:0] bresp, rresp;
  logic [31:0] rdata, wdata;
  logic [3:0] wstrb;
  logic [WORDS-1:0] read, write;
  axil_registers #(.ADDR_BITS(4), .WORDS(WORDS), .WRITABLE(WORDS'(2))) device (
      .clk_i(clk_i), .rst_i(rst),
      .s_awvalid_i(awvalid_i), .s_awready_o(awready), .s_awaddr_i(awaddr),
      .s_wvalid_i(wvalid_i), .s_wready_o(wready), .s_wdata_i(wdata_i), .s_wstrb_i({4{wmark}}),
      .s_bvalid_o(bvalid), .s_bready_i(bready_i), .s_bresp_o(bresp),
      .s_arvalid_i(arvalid_i), .s_arready_o(arready), .s_araddr_i(araddr_i),
      .s_rvalid_o(rvalid), .s_rready_i(rready_i), .s_rdata_o(rdata), .s_rresp_o(rresp),
      .words_i(words_i), .read_o(read), .write_o(write), .wdata_o(wdata), .wstrb_o(wstrb));

  wire logic ar_take = arvalid_i && arready;
  wire logic [1:0] index = araddr_i[3:2];
  wire logic [127:0] all_words = 128'(words_i);

  logic asked, b_stalled, aw_stalled, w_stalled, ar_stalled;
  logic [31:0] wanted, w_held;
  logic [1:0] wanted_resp, b_held, waited;
  logic [3:0] ar_held;
  wire logic [3:0] aw_open = aw_number - b_number, w_open = w_number - b_number;
  wire logic both = aw_open != 4'd0 && w_open != 4'd0;

  always_ff @(posedge clk_i) begin
    aw_stalled <= awvalid_i && !awready && !rst;
    w_stalled  <= wvalid_i && !wready && !rst;
    ar_stalled <= arvalid_i && !arready && !rst;
    b_stalled  <= bvalid && !bready_i && !rst;
    w_held     <= wdata_i;
    ar_held    <= araddr_i;
    b_held     <= bresp;
    if (ar_take) begin
      wanted      <= index < 2'(WORDS) ? all_words[32*index+:32] : 32'd0;
      wanted_resp <= index < 2'(WORDS) ? 2'b00 : 2'b10;
    end
    if (rst) begin
      asked     <= 1'b0;
      aw_number <= 4'd0;
      w_number  <= 4'd0;
      b_number  <= 4'd0;
      waited    <= 2'd0;
    end else begin
      asked     <= asked ? !rready_i : ar_take;
      aw_number <= aw_number + 4'(awvalid_i && awready);
      w_number  <= w_number + 4'(wvalid_i && wready);
      b_number  <= b_number + 4'(bvalid && bready_i);
      waited    <= both && !bvalid ? waited + 2'd1 : 2'd0;
    end
  end

  wire logic live = started && !rst;
  always_comb begin
    // the master
    if (live && aw_stalled) assume (awvalid_i);
    if (live && w_stalled) assume (wvalid_i && wdata_i == w_held);
    if (live && ar_stalled) assume (arvalid_i && araddr_i == ar_held);
    // reads: one answer for every address, of the moment in which it was taken
    if (live) assert (rvalid == asked);
    if (live) assert (arready || rvalid);
    if (live && rvalid) assert (rdata == wanted && rresp == wanted_resp);
    for (int i = 0; i < WORDS; i++) begin
      if (live) assert (read[i] == (ar_take && index == 2'(i)));
    end
    // writes: a response for an address and its data, once both have come, and within 2 cycles
    if (live) assert (aw_open <= 4'd2 && w_open <= 4'd2);
    if (live && bvalid) assert (both);
    if (live && b_stalled) assert (bvalid && bresp == b_held);
    if (live && bvalid) assert (bresp == (b_number == marked ? 2'b00 : 2'b10));
    if (live) assert (waited <= 2'd1);
    if (live && write != '0) assert (write == WORDS'(2) && both && !bvalid && &wstrb);
    if (live && both && !bvalid && b_number != marked) assert (write == '0);
    if (live && waited == 2'd1 && b_number == marked) assert (bvalid);
  end
endmodule

`default_nettype wire
