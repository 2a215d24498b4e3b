//! `--stack`: the stacks that take part in an allocation.

#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Allocation")]
pub struct StackArgs {
    /// Allocate to the layers of this stack only (repeatable)
    ///
    /// A stack is a list of layers, such as an encoder; tables and JSON name it. Without --stack, all stacks share one budget,
    /// except heads for multi-token prediction (mtp) and minor stacks in which a layer has no alpha.
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    pub stack: Vec<String>,
}

/// `--stack NAME` for each of these stacks, quoted for the shell where that is necessary.
pub fn stack_options<'a>(stacks: impl IntoIterator<Item = &'a str>) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    let option = |stack: &str| match !stack.is_empty() && !stack.starts_with('-') && stack.chars().all(plain) {
        true => format!("--stack {stack}"),
        false => format!("--stack='{}'", stack.replace('\'', r"'\''")),
    };
    stacks.into_iter().map(option).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::stack_options;

    #[test]
    fn odd_names_are_quoted() {
        assert_eq!(
            stack_options(["model", "a b", "", "it's"]),
            r"--stack model --stack='a b' --stack='' --stack='it'\''s'"
        );
    }
}
