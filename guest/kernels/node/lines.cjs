"use strict";

/** Lines out of pieces of bytes. */
class Lines {
  constructor(take) {
    this._take = take;
    this._pieces = [];
  }

  feed(data) {
    let start = 0;
    for (let end; (end = data.indexOf(10, start)) >= 0; start = end + 1) {
      this._pieces.push(data.subarray(start, end));
      const line = Buffer.concat(this._pieces).toString("utf8");
      this._pieces = [];
      this._take(line);
    }
    if (start < data.length) this._pieces.push(data.subarray(start));
  }
}

module.exports = { Lines };
