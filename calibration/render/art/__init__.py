"""Pictures that labels are composed of: Microsoft Fluent Emoji, MIT; source and licence in NOTICE.txt. Files only."""
