// Reads what is typed into the search. The search itself takes `:` and other signs of C++ for
// operators, and would find nothing for group::run: here they separate words, all of which have to
// be found. An entry whose title has a whole word comes before entries that only begin with it.
var __search = {
  transform(query) {
    const all = query.replace(/\berrgroup::/g, "").match(/[\p{L}\p{N}_]+/gu) || [];
    const long = all.filter((word) => word.length > 1); // of g.run( only run tells something
    const words = long.length > 0 ? long : all;
    const together = /::|->|[.(<&*"]/.test(query);
    return [
      ...words.map((word) => `title:${word}^50`),
      ...words.map((word) => (together ? "+" : "") + word), // the theme adds a * to the last one
    ].join(" ");
  },
};
