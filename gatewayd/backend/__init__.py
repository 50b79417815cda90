"""Who answers: auth and commands, from configuration and documents for now."""
