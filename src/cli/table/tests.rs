use super::*;
use crate::report::Cell;

fn document() -> Table {
    Table {
        columns: vec![("tensor", true), ("alpha", true), ("tail", true), ("device", false)],
        rows: vec![
            vec![Cell::Text("a|b,c".into()), Cell::real(2.35650253), Cell::Whole(115), Cell::Text("cpu".into())],
            vec![Cell::Text("d".into()), Cell::Missing, Cell::Whole(7), Cell::Text("cpu".into())],
        ],
    }
}

/// Two matrices in the columns of `score --by matrix`, and what `more` adds to them.
fn matrices(more: &[(&'static str, f64)]) -> Table {
    let names = ["tensor", "rows", "cols", "dtype", "rule", "alpha", "ks_distance", "xmin", "tail", "eigenvalues"];
    let mut table = Table { columns: names.map(|name| (name, true)).to_vec(), rows: Vec::new() };
    for (layer, alpha) in [(0, 2.125), (1, 3.5)] {
        table.rows.push(vec![
            Cell::Text(format!("model.layers.{layer}.self_attn.q_proj.weight")),
            Cell::Whole(4096 + layer),
            Cell::Whole(1024),
            Cell::Text("BF16".into()),
            Cell::Text("peak".into()),
            Cell::real(alpha),
            Cell::real(0.0125 * alpha),
            Cell::real(0.123_456 * alpha),
            Cell::Whole(1234 - layer),
            Cell::Whole(4096),
        ]);
    }
    for &(name, number) in more {
        table.columns.push((name, true));
        table.rows.iter_mut().enumerate().for_each(|(row, cells)| cells.push(Cell::real(number * (row + 1) as f64)));
    }
    table
}

#[test]
fn without_a_terminal_the_table_is_as_wide_as_it_needs_to_be() {
    let text = render(&document(), &[("top_k", "2,1".into())], None);
    let expected = "tensor  alpha  tail\n\
                    a|b,c   2.357   115\n\
                    d           -     7\n\
                    \n\
                    top_k  2,1\n";
    assert_eq!(text, expected);
    assert_eq!(render(&document(), &[("top_k", "2,1".into())], Some(19)), expected);
    assert!(render(&matrices(&[]), &[], None).lines().all(|line| line.len() > 100));
}

#[test]
fn wide_characters_take_two_columns() {
    let cells = |text: &str, number| vec![Cell::Text(text.into()), Cell::Whole(number)];
    let table = Table { columns: vec![("name", true), ("n", true)], rows: vec![cells("层", 1), cells("layer", 2)] };
    assert_eq!(render(&table, &[], None), "name   n\n层     1\nlayer  2\n");
}

#[test]
fn long_names_of_columns_are_broken_at_underscores() {
    let text = render(&matrices(&[]), &[], Some(108));
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].trim_start() == "ks_" && lines[1].contains("  alpha  distance  "), "{text}");
    assert!(lines.iter().all(|line| line.len() <= 108) && !text.contains("all rows"), "{text}");
}

#[test]
fn values_that_all_rows_share_move_below_a_narrow_table() {
    let expected = "tensor                                  rows  alpha  ks_distance    xmin  tail\n\
                    model.layers.0.self_attn.q_proj.weight  4096  2.125      0.02656  0.2623  1234\n\
                    model.layers.1.self_attn.q_proj.weight  4097  3.500      0.04375  0.4321  1233\n\
                    \n\
                    alphas    two of them\n\
                    all rows  cols 1024, dtype BF16, rule peak, eigenvalues 4096\n";
    assert_eq!(render(&matrices(&[]), &[("alphas", "two of them".into())], Some(80)), expected);
}

#[test]
fn a_narrow_table_of_matrices_names_what_it_does_not_show() {
    let text = render(&matrices(&[]), &[], Some(60));
    assert!(text.starts_with("tensor                                  alpha  ks_distance\nmodel.layers.0"), "{text}");
    assert!(text.contains("\nnot shown  rows, xmin, tail; use a wider terminal,"), "{text}");
    assert!(text.lines().all(|line| line.len() <= 60), "{text}");
}

#[test]
fn dozens_of_metrics_go_down_the_page() {
    let names: Vec<String> = (0..30).map(|index| format!("metric_{index}")).collect();
    let more: Vec<(&'static str, f64)> = names.iter().map(|name| (name.clone().leak() as &str, 1.5)).collect();
    let text = render(&matrices(&more), &[], Some(80));
    let blocks: Vec<&str> = text.split("\n\n").collect();
    assert_eq!(blocks.len(), 2);
    for (layer, block) in blocks.iter().enumerate() {
        assert_eq!(block.lines().count(), 40, "{block}");
        assert!(block.starts_with(&format!("tensor       model.layers.{layer}.self_attn.q_proj.weight\nrows  ")));
        assert!(block.contains("\nks_distance  0.0"), "{block}");
    }
    assert!(!text.contains("not shown"));
}

#[test]
fn prose_in_the_last_column_is_wrapped_between_words() {
    let columns = ["number", "value", "what it is"].map(|name| (name, true)).to_vec();
    let row = |cells: [&str; 3]| cells.map(|cell| Cell::Text(cell.into())).to_vec();
    let rows = vec![
        row(["tensor", "model.layers.0.self_attn.q_proj.weight", ""]),
        row(["alpha", "2.125", "the exponent of the power law that is fitted to the largest eigenvalues"]),
    ];
    let expected = "number  value  what it is\n\
                    tensor  model.layers.0.self_attn.q_proj.weight\n\
                    alpha   2.125  the exponent of the power law\n\
                    \x20              that is fitted to the largest\n\
                    \x20              eigenvalues\n";
    assert_eq!(render(&Table { columns, rows }, &[], Some(46)), expected);
}

#[test]
fn lines_below_the_table_are_wrapped_and_lists_stay_whole() {
    let list = vec!["5"; 60].join(",");
    let footer = [("number_experts", list.clone()), ("note", "seven words that need more than one line".into())];
    let text = render(&document(), &footer, Some(40));
    assert!(text.contains(&format!("\nnumber_experts  {list}\n")), "{text}");
    assert!(text.ends_with("\nnote            seven words that need\n                more than one line\n"), "{text}");
}
