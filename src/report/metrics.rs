//! Metrics and their summary in tables.

use std::fmt;

use super::{Cell, Document, Report, Table, significant};
use crate::metrics::{METRICS, Metric, OVER_TRAINED, UNDER_TRAINED};
use crate::score::{GroupSummary, RoleSummary, Spread, Summary};

impl Report {
    /// The results with one row per role: the spread of its alphas, and the means of the requested metrics.
    pub fn by_role(&self) -> Document<'_, Report> {
        let roles: &[RoleSummary] = self.summary.as_ref().map_or(&[], |summary| &summary.roles);
        let stacks = roles.iter().any(|role| role.stack != roles[0].stack);
        let columns = [
            ("stack", stacks),
            ("role", true),
            ("matrices", true),
            ("failed", true),
            ("alpha", true),
            ("median", true),
            ("min", true),
            ("max", true),
        ];
        let mut table = Table { columns: columns.to_vec(), rows: roles.iter().map(RoleSummary::cells).collect() };
        let asked = |metric: &&Metric| self.provenance.options.metrics.iter().any(|asked| asked == metric.name);
        for Metric { name, .. } in METRICS.iter().filter(asked).filter(|metric| metric.name != "alpha") {
            table.columns.push((name, true));
            for (row, RoleSummary { group, .. }) in table.rows.iter_mut().zip(roles) {
                row.push(Cell::optional(group.metrics.get(*name), |spread| Cell::real(spread.mean)));
            }
        }
        self.append_provenance(&mut table);
        Document { table, footer: self.footer(), json: self }
    }

    /// Adds a column for every measured metric; tables for people show the requested ones. A metric that has a column
    /// already is not repeated.
    pub(super) fn append_metrics(&self, table: &mut Table) {
        for Metric { name, .. } in METRICS {
            let asked = self.provenance.options.metrics.iter().any(|asked| asked == name);
            if let Some(column) = table.columns.iter_mut().find(|(column, _)| column == name) {
                column.1 |= asked;
            } else if self.matrices.iter().any(|matrix| matrix.measured.metrics.contains_key(*name)) {
                table.columns.push((name, asked));
                for (row, matrix) in table.rows.iter_mut().zip(&self.matrices) {
                    row.push(Cell::optional(matrix.measured.get(name).cloned(), Cell::from));
                }
            }
        }
    }
}

impl RoleSummary {
    fn cells(&self) -> Vec<Cell> {
        let RoleSummary { stack, role, group: GroupSummary { matrices, failed, alpha, .. } } = self;
        let spread = |number: fn(&Spread) -> f64| Cell::optional(alpha.as_ref().map(number), Cell::real);
        vec![
            Cell::Text(stack.clone()),
            Cell::Text(role.clone()),
            Cell::Whole(*matrices as u64),
            Cell::Whole(*failed as u64),
            spread(|alpha| alpha.mean),
            spread(|alpha| alpha.median),
            spread(|alpha| alpha.min),
            spread(|alpha| alpha.max),
        ]
    }
}

/// The summary in one line: `mean 2.688, median 2.560, 1.931 to 5.298; 36 matrices, 0 failed`.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let GroupSummary { matrices, failed, alpha, .. } = &self.group;
        if let Some(Spread { mean, median, min, max, .. }) = *alpha {
            let shown = |number| significant(number, 4);
            write!(f, "mean {}, median {}, {} to {}; ", shown(mean), shown(median), shown(min), shown(max))?;
        }
        write!(f, "{matrices} {}, {failed} failed", if *matrices == 1 { "matrix" } else { "matrices" })?;
        match (self.over_trained, self.under_trained) {
            (Some(over), Some(under)) => {
                write!(f, ", {over} over-trained (< {OVER_TRAINED}), {under} under-trained (> {UNDER_TRAINED})")
            }
            _ => Ok(()),
        }
    }
}
