"""Who answers the tool calls of a shadow."""
